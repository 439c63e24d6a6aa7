#pragma once
#include <stdbool.h>
#include <stdint.h>

/*
 * Whether looking out for the next request for a moment is better than going to sleep. One for each queue, under its
 * lock, but for spin_look().
 */
#define SPIN_NS 100000 /* for how long, at most */

struct spin {
	uint64_t left_ns;       /* since when nobody looks; 0: somebody does */
	bool soon;              /* the last request came in less than SPIN_NS */
	bool looking;           /* one does, and needs no company */
	uint64_t not_before_ns; /* the processors are busy */
};

/* A worker came to the queue, or leaves it to nobody. */
void spin_came(struct spin *spin);
void spin_left(struct spin *spin);
/* Whether to look; then spin_is_crowded(), spin_look() and spin_end() follow. */
bool spin_begin(struct spin *spin);
/* Without the lock: waits until what is at `index` is no longer `seen`. */
enum spin_result {
	SPIN_FOUND,
	SPIN_NOTHING,
	SPIN_CROWDED, /* others need the processor */
};
/* Whether others want the processor: they had it meanwhile, and for how long. */
bool spin_is_crowded(uint64_t *ret_lost_ns);
enum spin_result spin_look(const uint16_t *index, uint16_t seen, uint64_t *ret_lost_ns);
void spin_end(struct spin *spin, enum spin_result result, uint64_t lost_ns);
