#pragma once
#include "loop/loop.h"
#include "network/packet.h"

/*
 * The machine's end of its Ethernet: QEMU's datagram socket, of which each packet is a frame. Never waits for the
 * machine: what it does not take at once is queued, up to a limit, and lost beyond.
 */
#define CABLE_QUEUE_MAX  (8u << 20) /* bytes that wait for the machine */
#define CABLE_QUEUE_FULL (6u << 20) /* from here on it is full … */
#define CABLE_QUEUE_FREE (2u << 20) /* … until no more than this waits */
#define CABLE_BATCH      16u        /* frames that are taken in one turn of the loop */

struct cable;

struct cable_callbacks {
	void (*on_frame)(const uint8_t *frame, size_t size, void *data);
	void (*on_batch)(void *data); /* behind the frames of a turn; may be NULL */
	/* The machine takes less than comes, or has caught up: whoever can should send less meanwhile. May be NULL; may
	 * be called from inside cable_send(). */
	void (*on_full)(bool full, void *data);
};

/* Takes the descriptor on success. -errno. */
MUST_USE int cable_new(struct cable **ret, struct loop *loop, int fd, const struct cable_callbacks *callbacks,
		       void *data);
void cable_free(struct cable *cable);
static inline void cleanup_cable(struct cable **cable)
{
	cable_free(*cable);
}
#define auto_cable CLEANUP(cleanup_cable)

/* A frame in two pieces, so that nobody needs to copy what it only puts another header in front of. */
void cable_send(struct cable *cable, const uint8_t *header, size_t header_size, const uint8_t *rest, size_t size);
