/*
 * A timer of the real-time clock that never comes, but is cancelled by the kernel when that clock jumps.
 */
#include "supervisor/clock.h"

#include <sys/timerfd.h>

struct clock {
	int fd;
	struct loop_source *source;
	clock_fn *fn;
	void *data;
};

static int arm(int fd)
{
	struct itimerspec never = {.it_value.tv_sec = INT32_MAX};

	/* Setting it tells of a jump since the last time, too: it is armed all the same. */
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 && errno != ECANCELED)
		return -errno;
	return 0;
}

static void on_readable(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct clock *clock = data;
	uint64_t times;
	ssize_t n = read(fd, &times, sizeof(times));

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n >= 0 || arm(fd) < 0)
		loop_source_watch(source, 0);
	clock->fn(clock->data);
}

int clock_watch(struct clock **ret, struct loop *loop, clock_fn *fn, void *data)
{
	struct clock *clock = calloc(1, sizeof(*clock));
	int result;

	if (!clock)
		return -ENOMEM;
	*clock = (struct clock){.fn = fn, .data = data};
	clock->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	result = clock->fd < 0 ? -errno : arm(clock->fd);
	if (result == 0)
		result = loop_add_fd(&clock->source, loop, clock->fd, EPOLLIN, on_readable, clock);
	if (result < 0) {
		clock_unwatch(clock);
		return result;
	}
	*ret = clock;
	return 0;
}

void clock_unwatch(struct clock *clock)
{
	if (!clock)
		return;
	loop_source_free(clock->source);
	cleanup_close(&clock->fd);
	free(clock);
}
