#pragma once
#include "loop/loop.h"

#include <netinet/in.h>

/*
 * Where connections of the machine to the resolver come out of libslirp: a socket on the host's loopback, which takes
 * those of this process only.
 */
#define INLET_BACKLOG  64
#define INLET_PAUSE_MS 200u /* that none is taken, when the process is out of descriptors or memory */

struct inlet;

struct inlet_callbacks {
	bool (*admits)(struct in_addr address, uint16_t port, void *data); /* is the client a socket of ours? */
	void (*serve)(int fd, void *data);                                 /* takes the descriptor */
};

MUST_USE int inlet_new(struct inlet **ret, struct loop *loop, const struct inlet_callbacks *callbacks, void *data,
		       struct annex_error **err);
void inlet_free(struct inlet *inlet);
static inline void cleanup_inlet(struct inlet **inlet)
{
	inlet_free(*inlet);
}
#define auto_inlet CLEANUP(cleanup_inlet)
uint16_t inlet_port(const struct inlet *inlet);
