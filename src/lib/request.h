#pragma once
#include "base/error.h"
#include "json/json.h"

#include <stdbool.h>

/* What is asked of the supervisor of a machine that runs, over a connection of lib/link.h. */
struct link;
struct session_list;

/* Share something with a machine that runs, or no longer, as struct message_mount and message_umount say. Waits until
 * it is done. */
MUST_USE int request_mount(struct link *link, const char *volume, bool kept, struct annex_error **err);
MUST_USE int request_umount(struct link *link, const char *target, bool force, bool kept, struct annex_error **err);

/* The sessions that run; none when the machine stops this moment. */
MUST_USE int request_sessions(struct link *link, struct session_list *ret, struct annex_error **err);
/* Signal a session, as struct message_kill says. */
MUST_USE int request_kill(struct link *link, const char *id, unsigned signal, struct annex_error **err);

/* Let a machine that runs take over settings ("KEY=VALUE") as far as it can, and wait until it has. One that has ended
 * meanwhile has nothing to take over. */
MUST_USE int request_apply(struct link *link, const char *const *settings, struct annex_error **err);

/* Publish ports of a machine that runs, or no longer, as struct message_publish and message_unpublish say. */
MUST_USE int request_publish(struct link *link, const char *port, bool kept, struct annex_error **err);
MUST_USE int request_unpublish(struct link *link, const char *port, bool kept, struct annex_error **err);
/* What can be reached of it, after it has looked: a list of objects as network/port.h has them. */
MUST_USE int request_ports(struct link *link, json_t **ret, struct annex_error **err);
