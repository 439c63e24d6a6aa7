#pragma once
#include "share/fuse.h"

#include <stdint.h>

/*
 * Who serves a request of the guest: the server here, or a further process that has the share (share/bridge.h). Shares
 * of all of them are in the one root folder.
 */
#define ROUTER_LIMIT 256 /* further processes at once */

struct router;
MUST_USE int router_new(struct router **ret, struct fuse_server *server, struct annex_error **err);
void router_free(struct router *router); /* NULL is allowed */

/* Any thread, any time. `number` is in the ids of all nodes that the process gives, and never used again. Takes copies
 * of the descriptors. Annex errors: exists. */
MUST_USE int router_join(struct router *router, uint16_t number, const char *name, const int *fds, unsigned count,
			 struct annex_error **err);
/* What the guest has of it is stale. Not found. */
MUST_USE int router_leave(struct router *router, uint16_t number, struct annex_error **err);
bool router_has(struct router *router, const char *name);

/* As fuse_serve(). What a process that is gone would have served is EIO. */
ssize_t router_serve(struct router *router, struct share_request *request);
