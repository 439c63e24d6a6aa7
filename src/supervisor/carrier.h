#pragma once
#include "loop/loop.h"

#include <sys/types.h>

/*
 * passt, which carries what a machine sends outside: a program of the host's distribution, our child. It confines
 * itself, and ends with the connection to it.
 */
struct carrier;

/* Once, from the loop: it has ended. `can_run`: it did work, or was killed; else it said why it doesn't. May free it.
 */
typedef void carrier_ended_fn(const struct annex_error *why, bool can_run, void *data);

/* What machine/passt.h finds, for the machine with this place. *ret_fd is our end of its connection, the caller's: a
 * stream socket. NOT_FOUND. */
MUST_USE int carrier_start(struct carrier **ret, int *ret_fd, struct loop *loop, uint32_t place, carrier_ended_fn *fn,
			   void *data, struct annex_error **err);
pid_t carrier_pid(const struct carrier *carrier);
void carrier_free(struct carrier *carrier); /* kills it; NULL is allowed */
