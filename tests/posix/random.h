#pragma once
#include <stdint.h>

/* The same numbers for the same seed, everywhere. */
struct random {
	uint64_t state;
};

static inline struct random random_from(uint64_t seed)
{
	return (struct random){seed * 0x9e3779b97f4a7c15u + 0x1234567};
}

static inline uint64_t random_next(struct random *random)
{
	uint64_t x = random->state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	random->state = x;
	return x * 0x2545f4914f6cdd1du >> 16;
}

/* Less than `limit`. */
static inline unsigned random_below(struct random *random, unsigned limit)
{
	return (unsigned)(random_next(random) % limit);
}
