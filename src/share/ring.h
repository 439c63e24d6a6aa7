#pragma once
#include "base/error.h"

#include "share/memory.h"

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * The device's side of a split virtqueue (VIRTIO 1.2, section 2.7) in guest memory. One thread at a time. No I/O: who
 * uses it waits for kicks and sends calls.
 */
#define RING_SIZE_LIMIT  1024        /* descriptors in a ring */
#define RING_CHAIN_LIMIT 1024        /* descriptors, and parts, of a chain; IOV_MAX */
#define RING_CHAIN_BYTES (64u << 20) /* that a chain describes */

struct ring {
	/* Set by who owns the ring. */
	unsigned size;              /* a power of two */
	bool event_index, indirect; /* what was negotiated */

	/* Kept here; ring_resume() begins. */
	uint16_t next_available; /* where the next chain is taken from */
	uint16_t next_used;
	uint16_t next_told; /* what was used before this, the driver knows or doesn't want to be told of */

	/* In guest memory; ring_place() sets them, all or none. */
	const struct memory *memory;
	const struct vring_desc *descriptors;
	const struct vring_avail *available;
	struct vring_used *used;
};

/* Where the front end's process sees the three parts. */
struct ring_addresses {
	uint64_t descriptors;
	uint64_t available;
	uint64_t used;
};

/* A request of the guest: `in_count` parts to read, then `out_count` parts to write. */
struct ring_chain {
	uint16_t head;
	unsigned in_count;
	unsigned out_count;
	size_t size; /* bytes of all parts */
	struct iovec parts[RING_CHAIN_LIMIT];
};

bool ring_is_size(uint64_t size);
/* Finds the parts of the ring in `memory`, which must live as long as the ring uses it. False, and the ring is nowhere,
 * when they are not there or not aligned. */
bool ring_place(struct ring *ring, const struct memory *memory, const struct ring_addresses *addresses);
/* How far the ring itself says that chains were given back: only to recognize a ring by. */
uint16_t ring_used_index(const struct ring *ring);
bool ring_is_placed(const struct ring *ring);
/* Go on at this index of the available ring, with nothing under way. */
void ring_resume(struct ring *ring, uint16_t next);

/* 1: a chain was taken; 0: there is none; -1: the driver broke the rules, and nothing in the ring can be believed. */
MUST_USE int ring_take(struct ring *ring, struct ring_chain *chain, struct annex_error **err);
/* Ask the driver to kick for what it makes available from now on. False: there is more already. */
MUST_USE bool ring_arm(struct ring *ring);
/* Ask it not to, where it can be asked: somebody will look. */
void ring_disarm(struct ring *ring);
/* Give a chain back with `size` bytes written to its parts. */
void ring_put(struct ring *ring, uint16_t head, uint32_t size);
/* Whether the driver wants to be called for what was given back since this was asked last. */
MUST_USE bool ring_wants_call(struct ring *ring);
