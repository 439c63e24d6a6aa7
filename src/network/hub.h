#pragma once
#include "base/error.h"
#include "loop/loop.h"
#include "network/listener.h"
#include "wire/message.h"

/*
 * A machine's network as a whole: what annex-network puts together of the parts in this folder, and what of them a
 * request of the supervisor is for (network/control.h).
 */
struct hub;

/* Opens what is opened by name, so it is called before the process is confined; the loop must not run before that.
 * Takes the links (-EBADF: there is none) in any case. */
MUST_USE int hub_new(struct hub **ret, struct loop *loop, const struct message_network_setup *setup, int ethernet,
		     int ports, struct annex_error **err);
void hub_free(struct hub *hub);
static inline void cleanup_hub(struct hub **hub)
{
	hub_free(*hub);
}
#define auto_hub CLEANUP(cleanup_hub)

/* The requests. */
MUST_USE int hub_change(struct hub *hub, const struct message_network_setup *setup, struct annex_error **err);
MUST_USE int hub_set_uplink(struct hub *hub, int passt, struct annex_error **err); /* takes it; -EBADF: libslirp */
MUST_USE int hub_resolve(struct hub *hub, const struct message_network_resolve *resolve, struct annex_error **err);
MUST_USE int hub_publish(struct hub *hub, const char *port, struct annex_error **err);
MUST_USE int hub_unpublish(struct hub *hub, const char *port, struct annex_error **err);
MUST_USE int hub_list(struct hub *hub, listener_list_fn *fn, void *data, struct annex_error **err);
