#pragma once
#include "guest/mount.h"
#include "loop/loop.h"

/* The machine's init: PID 1 of namespaces of its own. */
struct init;

struct init_options {
	const char *path; /* in the image, or PROGRAM_BUILTIN */
	const char *const *argv;
	const char *const *environment;
	const char *hostname;
	struct mount_options mounts;
	void (*furnish)(const void *data); /* in the machine, before anything else: what is below /run. May be NULL */
	const void *furnish_data;
	/* Instead of a program: something to be done in such namespaces. `path` names it in errors. */
	int (*work)(const void *data, struct annex_error **err);
	const void *work_data;
};

struct init_callbacks {
	void (*on_running)(void *data); /* it has been executed */
	/* It is gone, and all processes of the machine with it. `err`: it could not be executed at all, or its work
	 * failed (borrowed). */
	void (*on_ended)(int status, const struct annex_error *err, void *data);
};

MUST_USE int init_start(struct init **ret, struct loop *loop, const struct init_options *options,
			const struct init_callbacks *callbacks, void *data, struct annex_error **err);
void init_free(struct init *init); /* does not end the process */
pid_t init_pid(const struct init *init);
int init_pidfd(const struct init *init); /* for entering its namespaces; init's */
void init_kill(const struct init *init, int signal);
