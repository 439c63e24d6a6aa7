/*
 * A guest that waits for each answer before it asks again has its next request there a few microseconds later. To sleep
 * and be woken up takes longer than that, on both sides: the guest has to leave its virtual processor for a kick, and
 * the host to start a processor that has gone idle. So who has served such a guest looks at the ring for a while, as
 * KVM does with a processor that the guest left idle.
 *
 * It is done only where the last request came so soon, and so never for a guest that does nothing; one that pauses
 * costs a single look in vain. And only while nobody else needs the processor: one that was given away and is not back
 * at once has others waiting for it. Then no look is tried for LOST_PART times as long as it was away, so that looking
 * costs no more than that part of the time however busy the host is.
 */
#include "share/spin.h"

#include <sched.h>
#include <time.h>

#define CROWDED_NS 10000 /* away for so long: somebody else ran */
#define LOST_PART  32
#define PAUSE_NS   100000000 /* without a look, at most */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void spin_came(struct spin *spin)
{
	if (spin->left_ns)
		spin->soon = now_ns() - spin->left_ns < SPIN_NS;
	spin->left_ns = 0;
}

void spin_left(struct spin *spin)
{
	if (!spin->looking)
		spin->left_ns = now_ns();
}

bool spin_begin(struct spin *spin)
{
	if (spin->looking || !spin->soon)
		return false;
	if (spin->not_before_ns && now_ns() < spin->not_before_ns)
		return false;
	spin->not_before_ns = 0;
	spin->looking = true;
	return true;
}

bool spin_is_crowded(uint64_t *ret_lost_ns)
{
	uint64_t start = now_ns();

	sched_yield();
	*ret_lost_ns = now_ns() - start;
	return *ret_lost_ns > CROWDED_NS;
}

enum spin_result spin_look(const uint16_t *index, uint16_t seen, uint64_t *ret_lost_ns)
{
	uint64_t start = now_ns(), last = start, now = start;

	while (__atomic_load_n(index, __ATOMIC_ACQUIRE) == seen) {
		if (now - start > SPIN_NS)
			return SPIN_NOTHING;
		now = now_ns();
		if (now - last > CROWDED_NS) {
			*ret_lost_ns = now - last;
			return SPIN_CROWDED;
		}
		last = now;
	}
	return SPIN_FOUND;
}

void spin_end(struct spin *spin, enum spin_result result, uint64_t lost_ns)
{
	spin->looking = false;
	spin->soon = result != SPIN_NOTHING;
	if (result == SPIN_CROWDED)
		spin->not_before_ns = now_ns() + (lost_ns < PAUSE_NS / LOST_PART ? LOST_PART * lost_ns : PAUSE_NS);
}
