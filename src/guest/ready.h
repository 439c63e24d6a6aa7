#pragma once
#include "base/error.h"
#include "loop/loop.h"

/* Waits until an init that does not tell is up, and tells what it waits for meanwhile. */
struct ready;

struct ready_callbacks {
	void (*on_waiting)(const char *what, void *data); /* when it has changed */
	void (*on_up)(void *data);                        /* once */
};

/* `init_pidfd` and `callbacks` must outlive it. -errno. */
MUST_USE int ready_new(struct ready **ret, struct loop *loop, int init_pidfd, const struct ready_callbacks *callbacks,
		       void *data);
void ready_free(struct ready *ready);
bool ready_has_child(const struct ready *ready, pid_t pid);
