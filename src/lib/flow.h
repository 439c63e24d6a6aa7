#pragma once
#include "loop/loop.h"
#include "wire/message.h"

/*
 * One output of a session: from frames to a descriptor that may block. Keeps what the descriptor does not take, at most
 * a window; tells how much was passed on, so that credit can be given.
 */
struct flow;

struct flow_callbacks {
	void (*on_passed)(struct flow *flow, uint32_t bytes, void *data); /* written, or dropped since it is closed */
	/* Once: nobody reads it any more (EPIPE), or it can't be written. What comes from now on is dropped. */
	void (*on_closed)(struct flow *flow, int os, void *data);
};

/* fd (-1: everything is dropped) stays the caller's and is neither made non-blocking nor closed. -errno. */
MUST_USE int flow_new(struct flow **ret, struct loop *loop, int fd, const struct flow_callbacks *callbacks, void *data);
void flow_free(struct flow *flow);
MUST_USE int flow_add(struct flow *flow, const void *bytes, size_t size); /* -EPROTO past the window, -ENOMEM */
bool flow_is_empty(const struct flow *flow);
