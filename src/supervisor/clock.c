/*
 * Who tells that the guest's clock stood still, or that the host's did not go on evenly:
 *
 * - a timer of the real-time clock that never comes, but is cancelled by the kernel when that clock jumps: it was set,
 *   or the host has slept;
 * - QEMU, when it runs the guest again (supervisor.c calls clock_catch_up());
 * - SIGCHLD, when QEMU itself was stopped and goes on, and SIGCONT, when this process was;
 * - a check that comes too late: all of us were frozen.
 *
 * Then the guest gets the time at once, and a check follows that removes what the way there has cost. A check asks the
 * guest for its time: the answer was given at some moment between question and answer, so what lies within half of that
 * is no difference that anything can be said about. Small ones are slewed away, so that time never goes back for them.
 * A guest whose clock is kept by a program of its own (NTP) is left to that, but for the moments when its clock must
 * have stood still: those programs take minutes to notice, or give up.
 */
#include "supervisor/clock.h"

#include "base/log.h"
#include "base/time.h"
#include "supervisor/guest.h"

#include <signal.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define STEP_NS   INT64_C(500000000) /* differences from here on are stepped; as in guest/clock.h */
#define UNSURE_NS INT64_C(100000000) /* a check that can't tell more exactly than this is made again */

struct clock {
	struct supervisor *supervisor;
	int fd; /* the timer that is cancelled when the host's clock jumps */
	struct loop_source *jumps, *children, *continued, *timer;
	bool begun, asked;
	uint64_t interval_ms, due_ms; /* of checks; when the next one is to be */
};

static void check_in(struct clock *clock, uint64_t ms)
{
	clock->due_ms = time_monotonic_ms() + ms;
	loop_timer_restart(clock->timer, ms);
}

void clock_begin_checks(struct clock *clock)
{
	clock->begun = true;
	clock->interval_ms = CLOCK_LEAST_MS;
	check_in(clock, CLOCK_SOON_MS);
}

void clock_catch_up(struct clock *clock)
{
	guest_set_clock(clock->supervisor->guest);
	if (clock->begun)
		clock_begin_checks(clock);
}

static void on_check(struct loop_source *source, void *data)
{
	struct clock *clock = data;

	(void)source;
	if (time_monotonic_ms() > clock->due_ms + CLOCK_LATE_MS) {
		clock_catch_up(clock);
		return;
	}
	clock->asked = clock->supervisor->state == MACHINE_RUNNING && guest_measure(clock->supervisor->guest);
	check_in(clock, clock->interval_ms);
}

enum clock_verdict clock_judge(int64_t *ret_ns, int64_t guest_ns, int64_t asked_ns, int64_t answered_ns)
{
	int64_t half = answered_ns > asked_ns ? (answered_ns - asked_ns) / 2 : 0, behind, surely;

	/* A guest can say anything. */
	if (__builtin_sub_overflow(asked_ns + half, guest_ns, &behind) || behind == INT64_MIN)
		return CLOCK_STEP;
	surely = (behind < 0 ? -behind : behind) - half;
	if (surely >= STEP_NS)
		return CLOCK_STEP;
	if (half > UNSURE_NS)
		return CLOCK_UNSURE;
	*ret_ns = behind;
	return surely > CLOCK_FINE_NS ? CLOCK_SLEW : CLOCK_FINE;
}

void clock_on_measured(struct clock *clock, const struct message_measured *measured, int64_t asked_ns,
		       int64_t answered_ns)
{
	int64_t behind_ns = 0;

	if (!clock->asked)
		return;
	clock->asked = false;
	switch (clock_judge(&behind_ns, measured->realtime_ns, asked_ns, answered_ns)) {
	case CLOCK_FINE:
		clock->interval_ms *= 2;
		clock->interval_ms = clock->interval_ms < CLOCK_MOST_MS ? clock->interval_ms : CLOCK_MOST_MS;
		return;
	case CLOCK_UNSURE:
		check_in(clock, CLOCK_SOON_MS);
		return;
	case CLOCK_SLEW:
		if (!measured->disciplined)
			guest_slew_clock(clock->supervisor->guest, behind_ns);
		break;
	case CLOCK_STEP:
		if (!measured->disciplined)
			guest_set_clock(clock->supervisor->guest);
		break;
	}
	log_debug("the guest's clock is %lld ms behind", (long long)(behind_ns / 1000000));
	clock->interval_ms = CLOCK_LEAST_MS;
	check_in(clock, clock->interval_ms);
}

static int arm(int fd)
{
	struct itimerspec never = {.it_value.tv_sec = INT32_MAX};

	/* Setting it tells of a jump since the last time, too: it is armed all the same. */
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 && errno != ECANCELED)
		return -errno;
	return 0;
}

static void on_jump(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct clock *clock = data;
	uint64_t times;
	ssize_t n = read(fd, &times, sizeof(times));

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n >= 0 || arm(fd) < 0)
		loop_source_watch(source, 0);
	clock_catch_up(clock);
}

/* Something happened to a child; QEMU goes on after it was stopped? */
static void on_child(struct loop_source *source, int signal, void *data)
{
	struct clock *clock = data;
	const struct supervisor *supervisor = clock->supervisor;
	pid_t pid = supervisor->vm ? qemu_vm_pid(supervisor->vm) : 0;
	siginfo_t info = {0};

	(void)source;
	(void)signal;
	if (pid > 0 && waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOHANG) == 0 && info.si_pid == pid)
		clock_catch_up(clock);
}

static void on_continued(struct loop_source *source, int signal, void *data)
{
	(void)source;
	(void)signal;
	clock_catch_up(data);
}

static int watch(struct clock *clock, struct loop *loop)
{
	int result;

	clock->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	result = clock->fd < 0 ? -errno : arm(clock->fd);
	if (result == 0)
		result = loop_add_fd(&clock->jumps, loop, clock->fd, EPOLLIN, on_jump, clock);
	if (result == 0)
		result = loop_add_signal(&clock->children, loop, SIGCHLD, on_child, clock);
	if (result == 0)
		result = loop_add_signal(&clock->continued, loop, SIGCONT, on_continued, clock);
	if (result == 0)
		result = loop_add_timer(&clock->timer, loop, UINT64_MAX, on_check, clock);
	return result;
}

int clock_new(struct clock **ret, struct supervisor *supervisor)
{
	struct clock *clock = calloc(1, sizeof(*clock));
	int result;

	if (!clock)
		return -ENOMEM;
	*clock = (struct clock){.supervisor = supervisor, .fd = -EBADF};
	result = watch(clock, supervisor->loop);
	if (result < 0) {
		clock_free(clock);
		return result;
	}
	*ret = clock;
	return 0;
}

void clock_free(struct clock *clock)
{
	if (!clock)
		return;
	loop_source_free(clock->jumps);
	loop_source_free(clock->children);
	loop_source_free(clock->continued);
	loop_source_free(clock->timer);
	cleanup_close(&clock->fd);
	free(clock);
}
