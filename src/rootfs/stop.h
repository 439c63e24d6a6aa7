#pragma once
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Tells all threads of a build to end: they look at it between steps, and poll its descriptor where they wait. */
struct stop {
	int fd; /* an eventfd, readable once it was raised */
	_Atomic bool raised;
};

MUST_USE int stop_init(struct stop *stop); /* -errno */
void stop_raise(struct stop *stop);
void stop_clear(struct stop *stop);
static inline bool stop_is_raised(const struct stop *stop)
{
	return atomic_load_explicit(&stop->raised, memory_order_relaxed);
}
