/*
 * Every source is in one list. What is freed during a turn is marked dead and goes to another one, so that events that
 * epoll has already reported for it still find valid memory; the end of the turn releases those. Nothing in a turn
 * takes longer for there being many sources.
 *
 * Timers are a second list, ordered by deadline, behind one timerfd, so that the epoll descriptor alone tells whether
 * there is something to do. A timer set during a turn runs in the next one at the earliest, or a callback that sets a
 * timer of 0 ms would never let the others run.
 *
 * Regular files can't be watched by epoll: they are ready in each turn, and make the timerfd fire at once.
 */
#include "loop/loop.h"

#include <assert.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

enum { EVENTS_PER_TURN = 64 };
static const uint64_t NS_PER_MS = 1000000, NS_PER_S = 1000000000;
static const uint64_t LONGEST_MS = 1000ull * 3600 * 24 * 365;

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_DEFERRED, SOURCE_CHILD, SOURCE_SIGNAL };

struct loop_source {
	struct loop *loop;
	struct loop_source *previous, *next; /* of all, or of the dead ones: `next` only */
	struct loop_source *timer_previous, *timer_next;
	enum source_kind kind;
	bool dead;
	bool always_ready; /* epoll refused it */
	bool watched;      /* it is in the epoll set */
	bool armed;        /* it is in the list of timers, or of what is deferred (by timer_next) */
	int fd;            /* the caller's, or our pidfd or signalfd */
	pid_t pid;
	uint32_t events;
	uint64_t deadline_ns;
	uint64_t armed_in_turn, ready_in_turn;
	union {
		loop_fd_fn *fd;
		loop_timer_fn *timer;
		loop_child_fn *child;
		loop_signal_fn *signal;
	} fn;
	void *data;
};

struct loop {
	int epoll, timer;
	struct loop_source *sources, *dead, *timers, *deferred;
	unsigned always_ready; /* sources that epoll refused */
	uint64_t timer_set_ns; /* what the timerfd is set to; 0: off */
	uint64_t turn;
	bool in_turn, stopped;
	int result;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void set_timerfd(struct loop *loop)
{
	uint64_t when = loop->timers ? loop->timers->deadline_ns : 0;
	struct itimerspec set = {0};
	int result;

	for (struct loop_source *source = loop->always_ready ? loop->sources : NULL; source; source = source->next) {
		if (source->always_ready && source->events)
			when = 1;
	}
	if (loop->deferred)
		when = 1;
	if (when == loop->timer_set_ns)
		return;
	set.it_value.tv_sec = (time_t)(when / NS_PER_S);
	set.it_value.tv_nsec = (long)(when % NS_PER_S);
	result = timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &set, NULL);
	assert(result == 0);
	loop->timer_set_ns = when;
}

/* Outside of turns the timerfd follows every change at once; a turn sets it once at its end. */
static void timers_changed(struct loop *loop)
{
	if (!loop->in_turn)
		set_timerfd(loop);
}

int loop_new(struct loop **ret)
{
	struct epoll_event event = {.events = EPOLLIN}; /* no source: the timerfd */
	struct loop *loop = calloc(1, sizeof(*loop));
	int os;

	if (!loop)
		return -ENOMEM;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->epoll < 0 || loop->timer < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->timer, &event) < 0) {
		os = errno;
		loop_free(loop);
		return -os;
	}
	*ret = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	assert(!loop->sources && !loop->in_turn);
	cleanup_close(&loop->timer);
	cleanup_close(&loop->epoll);
	free(loop);
}

int loop_fd(const struct loop *loop)
{
	return loop->epoll;
}

void loop_stop(struct loop *loop, int result)
{
	loop->stopped = true;
	loop->result = result;
}

int loop_run(struct loop *loop)
{
	loop->stopped = false;
	while (!loop->stopped)
		loop_turn(loop, -1);
	return loop->result;
}

static void unlink_deferred(struct loop_source *source)
{
	struct loop_source **at = &source->loop->deferred;

	while (*at != source)
		at = &(*at)->timer_next;
	*at = source->timer_next;
	source->timer_next = NULL;
	source->armed = false;
}

static void unlink_timer(struct loop_source *source)
{
	if (!source->armed)
		return;
	if (source->kind == SOURCE_DEFERRED) {
		unlink_deferred(source);
		return;
	}
	if (source->timer_next)
		source->timer_next->timer_previous = source->timer_previous;
	if (source->timer_previous)
		source->timer_previous->timer_next = source->timer_next;
	else
		source->loop->timers = source->timer_next;
	source->timer_previous = source->timer_next = NULL;
	source->armed = false;
}

void loop_timer_restart(struct loop_source *source, uint64_t after_ms)
{
	struct loop *loop = source->loop;
	struct loop_source *before = NULL, *after = loop->timers;

	assert(source->kind == SOURCE_TIMER && !source->dead);
	unlink_timer(source);
	source->deadline_ns = now_ns() + (after_ms < LONGEST_MS ? after_ms : LONGEST_MS) * NS_PER_MS;
	source->armed_in_turn = loop->turn;
	after = loop->timers;
	while (after && after->deadline_ns <= source->deadline_ns) {
		before = after;
		after = after->timer_next;
	}
	source->timer_previous = before;
	source->timer_next = after;
	if (before)
		before->timer_next = source;
	else
		loop->timers = source;
	if (after)
		after->timer_previous = source;
	source->armed = true;
	timers_changed(loop);
}

/* Bring the epoll set in step with source->events. */
static int watch(struct loop_source *source)
{
	struct epoll_event event = {.events = source->events, .data.ptr = source};
	bool wanted = source->events != 0;
	int operation = !wanted ? EPOLL_CTL_DEL : source->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (source->always_ready || (!wanted && !source->watched)) {
		timers_changed(source->loop);
		return 0;
	}
	if (epoll_ctl(source->loop->epoll, operation, source->fd, &event) < 0) {
		if (operation != EPOLL_CTL_ADD || errno != EPERM)
			return -errno;
		source->always_ready = true;
		source->loop->always_ready++;
		timers_changed(source->loop);
		return 0;
	}
	source->watched = wanted;
	return 0;
}

void loop_source_watch(struct loop_source *source, uint32_t events)
{
	int result;

	assert(source->kind == SOURCE_FD && !source->dead);
	if (source->events == events)
		return;
	source->events = events;
	result = watch(source);
	assert(result == 0);
}

static void release(struct loop_source *source)
{
	if (source->kind == SOURCE_CHILD || source->kind == SOURCE_SIGNAL)
		cleanup_close(&source->fd);
	free(source);
}

static void sweep(struct loop *loop)
{
	while (loop->dead) {
		struct loop_source *source = loop->dead;

		loop->dead = source->next;
		release(source);
	}
}

static void unlink_source(struct loop_source *source)
{
	if (source->next)
		source->next->previous = source->previous;
	if (source->previous)
		source->previous->next = source->next;
	else
		source->loop->sources = source->next;
}

void loop_source_free(struct loop_source *source)
{
	struct loop *loop = source ? source->loop : NULL;

	if (!source)
		return;
	assert(!source->dead);
	source->dead = true;
	if (source->watched)
		epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	unlink_timer(source);
	unlink_source(source);
	loop->always_ready -= source->always_ready;
	source->next = loop->dead;
	loop->dead = source;
	if (!loop->in_turn)
		sweep(loop);
	timers_changed(loop);
}

static struct loop_source *add(struct loop *loop, enum source_kind kind, int fd, void *data)
{
	struct loop_source *source = calloc(1, sizeof(*source));

	if (!source)
		return NULL;
	*source = (struct loop_source){.loop = loop, .next = loop->sources, .kind = kind, .fd = fd, .data = data};
	if (loop->sources)
		loop->sources->previous = source;
	loop->sources = source;
	return source;
}

/* Start watching a new source; a failure frees it (and a descriptor of ours). */
static int add_watched(struct loop_source **ret, struct loop_source *source, uint32_t events)
{
	int result;

	source->events = events;
	result = watch(source);
	if (result < 0) {
		loop_source_free(source);
		return result;
	}
	*ret = source;
	return 0;
}

int loop_add_fd(struct loop_source **ret, struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn, void *data)
{
	struct loop_source *source = add(loop, SOURCE_FD, fd, data);

	if (!source)
		return -ENOMEM;
	source->fn.fd = fn;
	return add_watched(ret, source, events);
}

int loop_add_timer(struct loop_source **ret, struct loop *loop, uint64_t after_ms, loop_timer_fn *fn, void *data)
{
	struct loop_source *source = add(loop, SOURCE_TIMER, -EBADF, data);

	if (!source)
		return -ENOMEM;
	source->fn.timer = fn;
	loop_timer_restart(source, after_ms);
	*ret = source;
	return 0;
}

int loop_add_deferred(struct loop_source **ret, struct loop *loop, loop_timer_fn *fn, void *data)
{
	struct loop_source *source = add(loop, SOURCE_DEFERRED, -EBADF, data);

	if (!source)
		return -ENOMEM;
	source->fn.timer = fn;
	*ret = source;
	return 0;
}

void loop_defer(struct loop_source *source)
{
	struct loop *loop = source->loop;

	assert(source->kind == SOURCE_DEFERRED && !source->dead);
	if (source->armed)
		return;
	source->armed_in_turn = 0;
	source->timer_next = loop->deferred;
	loop->deferred = source;
	source->armed = true;
	timers_changed(loop);
}

int loop_add_child(struct loop_source **ret, struct loop *loop, pid_t pid, loop_child_fn *fn, void *data)
{
	auto_close int fd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
	struct loop_source *source;

	if (fd < 0)
		return -errno;
	source = add(loop, SOURCE_CHILD, fd, data);
	if (!source)
		return -ENOMEM;
	(void)TAKE_FD(fd);
	source->pid = pid;
	source->fn.child = fn;
	return add_watched(ret, source, EPOLLIN);
}

int loop_add_signal(struct loop_source **ret, struct loop *loop, int signal, loop_signal_fn *fn, void *data)
{
	auto_close int fd = -EBADF;
	struct loop_source *source;
	sigset_t set;

	sigemptyset(&set);
	if (sigaddset(&set, signal) < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	source = add(loop, SOURCE_SIGNAL, fd, data);
	if (!source)
		return -ENOMEM;
	(void)TAKE_FD(fd);
	source->fn.signal = fn;
	return add_watched(ret, source, EPOLLIN);
}

static bool run_child(struct loop_source *source)
{
	siginfo_t info = {0};
	int status;

	if (waitid(P_PIDFD, (id_t)source->fd, &info, WEXITED | WNOHANG) < 0)
		status = -1;
	else if (info.si_pid == 0)
		return false;
	else if (info.si_code == CLD_EXITED)
		status = (info.si_status & 0xff) << 8;
	else
		status = (info.si_status & 0x7f) | (info.si_code == CLD_DUMPED ? 0x80 : 0);
	source->events = 0;
	watch(source);
	source->fn.child(source, source->pid, status, source->data);
	return true;
}

static bool run_signals(struct loop_source *source)
{
	struct signalfd_siginfo info;
	bool ran = false;

	while (!source->dead && read(source->fd, &info, sizeof(info)) == sizeof(info)) {
		source->fn.signal(source, (int)info.ssi_signo, source->data);
		ran = true;
	}
	return ran;
}

/* One that has not yet run in this turn: the list may change while it does. */
static struct loop_source *next_always_ready(const struct loop *loop)
{
	struct loop_source *source = loop->always_ready ? loop->sources : NULL;

	while (source && (!source->always_ready || !source->events || source->ready_in_turn == loop->turn))
		source = source->next;
	return source;
}

static bool run_timers(struct loop *loop)
{
	uint64_t now = now_ns(), count;
	struct loop_source *source;
	bool ran = false;

	if (read(loop->timer, &count, sizeof(count)) == sizeof(count))
		loop->timer_set_ns = 0; /* it fired: it is off */
	while ((source = loop->timers) && source->deadline_ns <= now && source->armed_in_turn != loop->turn) {
		unlink_timer(source);
		source->fn.timer(source, source->data);
		ran = true;
	}
	while ((source = next_always_ready(loop))) {
		source->ready_in_turn = loop->turn;
		source->fn.fd(source, source->fd, source->events & (EPOLLIN | EPOLLOUT), source->data);
		ran = true;
	}
	return ran;
}

static bool run(struct loop_source *source, uint32_t events)
{
	if (source->dead)
		return false;
	switch (source->kind) {
	case SOURCE_FD:
		/* An earlier callback of this turn may have stopped watching. */
		events &= source->events | (source->events ? (uint32_t)(EPOLLHUP | EPOLLERR) : 0);
		if (!events)
			return false;
		source->fn.fd(source, source->fd, events, source->data);
		return true;
	case SOURCE_CHILD:
		return run_child(source);
	case SOURCE_SIGNAL:
		return run_signals(source);
	case SOURCE_TIMER:
	case SOURCE_DEFERRED:
		break;
	}
	return false;
}

static struct loop_source *next_deferred(const struct loop *loop)
{
	struct loop_source *source = loop->deferred;

	while (source && source->armed_in_turn != loop->turn)
		source = source->timer_next;
	return source;
}

/* What they defer in their turn is left for the next. */
static bool run_deferred(struct loop *loop)
{
	struct loop_source *source;
	bool ran = false;

	for (source = loop->deferred; source; source = source->timer_next)
		source->armed_in_turn = loop->turn;
	while ((source = next_deferred(loop))) {
		unlink_deferred(source);
		source->fn.timer(source, source->data);
		ran = true;
	}
	return ran;
}

bool loop_turn(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_PER_TURN];
	bool ran = false;
	int count;

	assert(!loop->in_turn);
	count = epoll_wait(loop->epoll, events, EVENTS_PER_TURN, timeout_ms);
	assert(count >= 0 || errno == EINTR);
	loop->in_turn = true;
	loop->turn++;
	for (int i = 0; i < count; i++) {
		struct loop_source *source = events[i].data.ptr;

		ran |= source ? run(source, events[i].events) : run_timers(loop);
	}
	ran |= run_deferred(loop);
	loop->in_turn = false;
	sweep(loop);
	set_timerfd(loop);
	return ran;
}
