#pragma once
#include "loop/loop.h"
#include "share/root.h"

#include <sys/types.h>

/*
 * The supervisor's side of annex-share, the program that serves a machine's files: it is confined to what it shares
 * before it looks at anything that the guest says. What it answers is taken for a stranger's word.
 */
#define SHARE_PROCESS_WAITING_LIMIT 256u /* requests beside the first ones */

struct share_process;

struct share_process_options {
	const char *program; /* path of annex-share */
	unsigned queues;     /* request queues: what the front end is told too */
	uid_t uid;           /* who the server's user is in the guest */
	gid_t gid;
};

struct share_process_share {
	int fd;             /* in whatever way it was opened; stays the caller's */
	const char *source; /* its canonical path */
	struct share_options options;
};

/* From the loop. Either may free the process. */
struct share_callbacks {
	/* The answer to each add and remove, in order; NULL: done. */
	void (*on_done)(const struct annex_error *err, void *data);
	/* Once: no files are served any more. NULL: because the front end is gone, which is no failure. */
	void (*on_ended)(const struct annex_error *err, void *data);
};

/* Starts it with these shares. *ret_device: the front end's end of the vhost-user connection, the caller's. Does not
 * block; what fails in the child before it serves comes by on_ended(). The loop's thread must be the caller's. */
MUST_USE int share_process_start(struct share_process **ret, int *ret_device, struct loop *loop,
				 const struct share_process_options *options, const struct share_process_share *shares,
				 size_t count, const struct share_callbacks *callbacks, void *data,
				 struct annex_error **err);
/* -1, when it could not be asked: then there is no answer. BUSY: too many wait. */
MUST_USE int share_process_add(struct share_process *process, const struct share_process_share *share,
			       struct annex_error **err);
MUST_USE int share_process_remove(struct share_process *process, const char *name, struct annex_error **err);
pid_t share_process_pid(const struct share_process *process);
/* Of it and all further ones; at most `limit`. How many there are. */
size_t share_process_pids(const struct share_process *process, pid_t *ret, size_t limit);
/* Ends it, without further callbacks. NULL is allowed. */
void share_process_free(struct share_process *process);
static inline void cleanup_share_process(struct share_process **process)
{
	share_process_free(*process);
}
#define auto_share_process CLEANUP(cleanup_share_process)
