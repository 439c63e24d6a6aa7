/*
 * Counter and clock are read one right after the other, several times, and the closest pair counts: so a process that
 * loses its processor in between is not misled.
 */
#include "machine/counter.h"

#include <time.h>
#include <x86intrin.h>

enum { TRIES = 32, APART_MS = 20, LEAST_KHZ = 100000, MOST_KHZ = 20000000 };

struct pair {
	uint64_t ns, count;
};

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct pair read_pair(void)
{
	uint64_t closest = UINT64_MAX;
	struct pair best = {0};

	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t before = clock_ns(), count = __rdtsc(), after = clock_ns();

		if (after - before >= closest)
			continue;
		closest = after - before;
		best = (struct pair){before + closest / 2, count};
	}
	return best;
}

uint64_t counter_khz(void)
{
	struct pair first = read_pair(), last;
	uint64_t khz;

	nanosleep(&(struct timespec){.tv_nsec = APART_MS * 1000000L}, NULL);
	last = read_pair();
	if (last.ns <= first.ns || last.count <= first.count || last.ns - first.ns > UINT32_MAX)
		return 0;
	khz = (uint64_t)((double)(last.count - first.count) * 1e6 / (double)(last.ns - first.ns));
	return khz >= LEAST_KHZ && khz <= MOST_KHZ ? khz : 0;
}
