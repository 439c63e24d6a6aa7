#pragma once
#include "loop/loop.h"

/*
 * What listens in the machine: looked at often while something goes on there, and seldom while not.
 */
struct listening;

/* What listens now, as PORT_LISTENING has it: when that has changed, and as the answer to listening_tell(). */
typedef void listening_fn(const char *const *sockets, void *data);

MUST_USE int listening_new(struct listening **ret, struct loop *loop, listening_fn *fn, void *data); /* -errno */
void listening_free(struct listening *listening);

void listening_start(struct listening *listening); /* look, and tell in any case */
void listening_stop(struct listening *listening);  /* nobody asks any more */
void listening_tell(struct listening *listening);  /* look now, and tell in any case */
void listening_hurry(struct listening *listening); /* something goes on: that may change what listens. Cheap */
