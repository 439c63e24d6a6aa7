#pragma once
#include "loop/loop.h"

/* Tells when the host's clock was set, which is also what it is after the host has slept. */
struct clock;

typedef void clock_fn(void *data);

MUST_USE int clock_watch(struct clock **ret, struct loop *loop, clock_fn *fn, void *data); /* -errno */
void clock_unwatch(struct clock *clock);                                                   /* NULL is allowed */
