#include "base/sigpipe.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

static void only_sigpipe(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGPIPE);
}

void sigpipe_hold(struct sigpipe *state)
{
	sigset_t set, pending;

	only_sigpipe(&set);
	sigpending(&pending);
	state->pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &set, &state->before);
}

void sigpipe_release(const struct sigpipe *state)
{
	sigset_t set;

	only_sigpipe(&set);
	while (!state->pending && sigtimedwait(&set, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &state->before, NULL);
}
