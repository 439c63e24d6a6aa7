#pragma once
#include "loop/loop.h"
#include "network/uplink.h"

/* passt, by the stream socket that it has with whoever runs a machine: frames, each behind its length in 4 bytes. */
#define PASST_QUEUE_MAX (4u << 20) /* bytes that wait for it; a frame beyond is lost */

struct passt;

struct passt_callbacks {
	uplink_deliver_fn *deliver;
	/* Once, and last: it has gone, or does not speak so. Not from inside passt_uplink()'s functions. */
	void (*on_gone)(void *data);
};

/* Takes the descriptor on success. -errno. */
MUST_USE int passt_new(struct passt **ret, struct loop *loop, int fd, const struct passt_callbacks *callbacks,
		       void *data);
void passt_free(struct passt *passt);
static inline void cleanup_passt(struct passt **passt)
{
	passt_free(*passt);
}
#define auto_passt CLEANUP(cleanup_passt)
struct uplink *passt_uplink(struct passt *passt);
