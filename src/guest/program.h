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
};

struct program {
	const char *name; /* of the executable's file; the built-in init's is PROGRAM_BUILTIN */
	enum program_stop stop;
	int signal;    /* that powers it off */
	bool notifies; /* tells readiness on NOTIFY_SOCKET */
};

#define PROGRAM_BUILTIN "annex-init"

/* By the path of the executable, links resolved; NULL: unknown. */
const struct program *program_find(const char *path);

/*
 * What to start, looked for in the image (its disk is the root): for `mode` "auto" and "image" the command if it names
 * an init, else the usual places; "builtin", and "auto" with none found: the built-in one. *ret_path is PROGRAM_BUILTIN
 * or a path, *ret_real the same with links resolved; both the caller's. NOT_FOUND.
 */
MUST_USE int program_choose(char **ret_path, char **ret_real, bool *ret_is_command, const char *mode,
			    const char *command, struct annex_error **err);
