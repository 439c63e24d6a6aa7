#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The host's user in the machine. */
struct account {
	const char *name;
	uint32_t uid, gid;
	const char *group;
	const char *home;
	bool home_is_shared; /* the host's own is bound there, and not looked into */
	const char *shell;   /* of the host; used if the image has it */
};

/*
 * Make sure that the image has an account with the user's id. One that exists is taken as it is, whatever its name;
 * else lines are added to /etc/passwd, group and shadow, and the home folder is made. Either may use sudo where the
 * image has it. A home that is shared is that of an account that exists, too. Changes nothing when all is there. Needs
 * no program of the image. Runs with the disk as root.
 */
MUST_USE int account_ensure(const struct account *account, struct annex_error **err);
