#pragma once
#include "base/error.h"
#include "share/request.h"

#include <sys/types.h>

/*
 * Requests of the guest from the process that has the device to another one that serves some of the shares: by memory
 * that both have, a slot of it for each request under way, and a packet socket for each slot. Neither side believes the
 * other: what lies in a slot is to the one who serves what a guest's memory is.
 */
#define BRIDGE_SLOT_SIZE   ((1u << 20) + (64u << 10)) /* bytes of a request and the room for its answer */
#define BRIDGE_SLOTS_LIMIT 16u
#define BRIDGE_FDS_LIMIT   (1 + BRIDGE_SLOTS_LIMIT) /* the memory, and a socket for each slot */

/* The device's side. Takes copies of the descriptors. */
struct bridge;
MUST_USE int bridge_open(struct bridge **ret, const int *fds, unsigned count, struct annex_error **err);
/* Any thread. As share_request's server gives it: bytes of the answer, -EAGAIN, -EPROTO; -EIO: the other side is gone,
 * or makes no sense; nothing was written then. */
ssize_t bridge_serve(struct bridge *bridge, const struct share_request *request);
void bridge_free(struct bridge *bridge); /* no call may be under way; NULL is allowed */
static inline void cleanup_bridge(struct bridge **bridge)
{
	bridge_free(*bridge);
}
#define auto_bridge CLEANUP(cleanup_bridge)

/* The other side: serves by a thread for each slot until the device's side is gone (0) or makes no sense (-1). Blocks.
 */
MUST_USE int bridge_run(const int *fds, unsigned count, ssize_t (*serve)(struct share_request *request, void *data),
			void *data, struct annex_error **err);
