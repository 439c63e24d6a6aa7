#pragma once
#include "base/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * The one way to start a program. The child gets only standard streams and the descriptors named here, all signals
 * at their defaults and unblocked; every other descriptor is closed.
 */
struct spawn_fd {
	int from; /* ours */
	int to;   /* the child's number */
};

struct spawn_options {
	const char *const *argv;        /* argv[0] is looked up in PATH unless it has a slash */
	const char *const *environment; /* NULL: ours */
	const char *folder;             /* NULL: ours */
	const struct spawn_fd *fds;     /* 0, 1 and 2 default to /dev/null when not named */
	size_t fd_count;
	bool keep_standard;      /* 0, 1 and 2 are ours unless named */
	bool new_session;        /* setsid() */
	int parent_death_signal; /* 0: none; sent when the calling thread ends */
};

/* *ret_pidfd may be NULL; both are the caller's. A program that can't be executed is reported here, not by its status:
 * NOT_FOUND when there is none, else SYSTEM. */
MUST_USE int spawn(pid_t *ret, int *ret_pidfd, const struct spawn_options *options, struct annex_error **err);

/* The file that a program's name means: itself if it has a slash, else looked up in PATH. NULL: there is none that can
 * be executed. The caller frees it. */
char *spawn_find(const char *name);

/* Start, wait, and give the standard output (at most `limit` bytes; NUL-terminated) and the wait status. Blocks.
 * Standard error is passed to the caller in *ret_stderr when that is not NULL. The caller frees both texts. */
MUST_USE int spawn_capture(char **ret, char **ret_stderr, int *ret_status, const char *const *argv, size_t limit,
			   struct annex_error **err);

/* Kill by id and start time, so that a recycled pid is never hit: kernel's start time of a process in clock ticks
 * since boot, from /proc/PID/stat; 0 when there is no such process. */
unsigned long long spawn_start_time(pid_t pid);
/* A signal to the process if it is the one that started then. -ESRCH: it is gone. */
MUST_USE int spawn_signal_exact(pid_t pid, unsigned long long start_time, int signal);
/* SIGKILL to the process if it is the one that started then; waits until it is gone. -ESRCH: it is gone already. */
MUST_USE int spawn_kill_exact(pid_t pid, unsigned long long start_time);
