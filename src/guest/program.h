#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>

/* What programs a machine can have as its init, and how each is treated. */
enum program_stop {
	PROGRAM_STOP_SIGNAL,
	PROGRAM_STOP_INITCTL, /* sysvinit's fifo */
	PROGRAM_STOP_OPENRC,  /* openrc-init's fifo */
	PROGRAM_STOP_RUNIT,   /* a file, and SIGCONT */
	PROGRAM_STOP_S6,      /* the signal of a script that it has, else SIGTERM */
};

/* How it is known that it is ready (phase.c). */
enum program_readiness {
	PROGRAM_TELLS_NOTHING,   /* it is when it has been executed */
	PROGRAM_TELLS_BY_SOCKET, /* on NOTIFY_SOCKET, as systemd does */
	PROGRAM_HAS_RUNLEVELS,   /* sysvinit */
	PROGRAM_HAS_TABLE,       /* BusyBox' init */
	PROGRAM_IS_OPENRC,
	PROGRAM_IS_RUNIT,
	PROGRAM_IS_S6,
};

struct program {
	const char *name; /* of the executable's file; the built-in init's is PROGRAM_BUILTIN */
	enum program_stop stop;
	int signal; /* that powers it off */
	enum program_readiness readiness;
};

#define PROGRAM_BUILTIN "annex-init"

/* By the path of the executable, links resolved; NULL: unknown. */
const struct program *program_find(const char *path);
bool program_is_systemd(const char *path);
/* What a process runs, by /proc below `root`. A script that BusyBox' shell runs is no BusyBox init. */
const struct program *program_of_process(int root, int pid);
/* In the image: what an init at that path is to find in its variable "container". OpenRC, whichever init it runs under,
 * leaves alone what the machine's host takes care of only in containers that it knows by name. */
const char *program_container(const char *path);

/*
 * What to start, looked for in the image (its disk is the root): for `mode` "auto" and "image" the command if it names
 * an init, else the usual places; "builtin", and "auto" with none found: the built-in one. *ret_path is PROGRAM_BUILTIN
 * or a path, *ret_real the same with links resolved; both the caller's. NOT_FOUND.
 */
MUST_USE int program_choose(char **ret_path, char **ret_real, bool *ret_is_command, const char *mode,
			    const char *command, struct annex_error **err);
