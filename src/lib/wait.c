/*
 * A handler that cancels between our look at the flag and the poll would be missed, so signals are blocked until
 * ppoll() waits. One that runs in another thread is noticed within RECHECK_MS.
 */
#include "lib/wait.h"

#include "base/time.h"

#include <poll.h>
#include <signal.h>

enum { RECHECK_MS = 1000 };

static int wait_once(const struct annex_context *context, struct pollfd *poll, int timeout_ms, struct annex_error **err)
{
	struct timespec span = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
	sigset_t all, before;
	int result;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = context_check_cancelled(context, err);
	if (result == 0) {
		result = ppoll(poll, poll->fd >= 0 ? 1 : 0, &span, &before);
		if (result < 0)
			result = errno == EINTR ? 0 : fail_os(err, errno, "cannot wait");
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return result < 0 ? -1 : result;
}

int wait_fd(const struct annex_context *context, int fd, short events, int timeout_ms, struct annex_error **err)
{
	uint64_t now = time_monotonic_ms(), end = timeout_ms < 0 ? UINT64_MAX : now + (uint64_t)timeout_ms;
	struct pollfd poll = {.fd = fd, .events = events};
	int result;

	do {
		uint64_t left = end - now;

		result = wait_once(context, &poll, left < RECHECK_MS ? (int)left : RECHECK_MS, err);
		if (result != 0)
			return result;
		now = time_monotonic_ms();
	} while (now < end);
	return context_check_cancelled(context, err);
}
