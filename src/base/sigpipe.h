#pragma once
#include <signal.h>
#include <stdbool.h>

/* Writing to a pipe or a connection whose reader is gone raises SIGPIPE. What that does is the program's business and
 * not a library's: between hold and release it is held back, and taken away if it was raised there. Of this thread. */
struct sigpipe {
	sigset_t before;
	bool pending;
};
void sigpipe_hold(struct sigpipe *state);
void sigpipe_release(const struct sigpipe *state);
