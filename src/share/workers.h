#pragma once
#include "base/error.h"

/* The threads that serve a device's queues. */
#define WORKERS_LIMIT 64

struct workers;

MUST_USE int workers_new(struct workers **ret, struct annex_error **err);
/* The epoll descriptor that queues are to be watched in, with themselves as data. */
int workers_poll(const struct workers *workers);
MUST_USE int workers_start(struct workers *workers, unsigned count, struct annex_error **err);
/* Ends the threads after the requests they serve, and waits for that. NULL is allowed. */
void workers_free(struct workers *workers);
