#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

/*
 * One thread, one loop, level-triggered epoll. Callbacks never block. A source may be freed from inside any callback,
 * its own included: the loop forgets it at once and releases it at the end of the turn. Functions that can fail return
 * -errno.
 */
struct loop;
struct loop_source;

typedef void loop_fd_fn(struct loop_source *source, int fd, uint32_t events, void *data);
typedef void loop_timer_fn(struct loop_source *source, void *data);
typedef void loop_child_fn(struct loop_source *source, pid_t pid, int status, void *data); /* a wait status */
typedef void loop_signal_fn(struct loop_source *source, int signal, void *data);

MUST_USE int loop_new(struct loop **ret);
void loop_free(struct loop *loop); /* every source must be gone already: asserted */
static inline void cleanup_loop(struct loop **loop)
{
	loop_free(*loop);
}
#define auto_loop CLEANUP(cleanup_loop)

int loop_run(struct loop *loop); /* until loop_stop(); returns its argument */
void loop_stop(struct loop *loop, int result);

/* One turn: waits at most timeout_ms (negative: for ever) for something to run, runs it, and tells whether anything
 * ran. A signal handler's interruption ends the wait. Never from inside a callback. */
bool loop_turn(struct loop *loop, int timeout_ms);
/* Readable when loop_turn() with 0 has something to run: for embedding into another loop. Owned by the loop. */
int loop_fd(const struct loop *loop);

/* EPOLLIN, EPOLLOUT; EPOLLHUP and EPOLLERR are given too, unless nothing is watched for. What epoll can't watch
 * (regular files) is always ready. The descriptor stays the caller's, who frees the source before closing it. */
MUST_USE int loop_add_fd(struct loop_source **ret, struct loop *loop, int fd, uint32_t events, loop_fd_fn *fn,
			 void *data);
/* Runs once; the source stays, for loop_timer_restart(), until it is freed. */
MUST_USE int loop_add_timer(struct loop_source **ret, struct loop *loop, uint64_t after_ms, loop_timer_fn *fn,
			    void *data);
/* Runs once at the end of the turn in which loop_defer() was called, or of the next: what many callbacks of a turn have
 * to do is done there once. */
MUST_USE int loop_add_deferred(struct loop_source **ret, struct loop *loop, loop_timer_fn *fn, void *data);
void loop_defer(struct loop_source *source);
/* `pid` is an unreaped child of ours. Reaps it and runs once (status -1: somebody else has reaped it); freeing the
 * source earlier leaves it unreaped. */
MUST_USE int loop_add_child(struct loop_source **ret, struct loop *loop, pid_t pid, loop_child_fn *fn, void *data);
/* Blocks the signal in this thread; it stays blocked when the source is freed. */
MUST_USE int loop_add_signal(struct loop_source **ret, struct loop *loop, int signal, loop_signal_fn *fn, void *data);

void loop_source_watch(struct loop_source *source, uint32_t events); /* 0: nothing, not even a hang-up */
void loop_timer_restart(struct loop_source *source, uint64_t after_ms);
void loop_source_free(struct loop_source *source); /* NULL is allowed; does not close the fd */
