#pragma once
#include "lib/context.h"

/* Wait for one descriptor, at most so long (negative: for ever). 1: ready, 0: the time is over; fails with CANCELLED
 * when the context is or becomes cancelled, by a signal handler too. fd -1: only the time. */
MUST_USE int wait_fd(const struct annex_context *context, int fd, short events, int timeout_ms,
		     struct annex_error **err);
