#pragma once
#include "base/error.h"

#include <stdint.h>

/* The host's user in the machine. */
struct account {
	const char *name;
	uint32_t uid, gid;
	const char *group;
	const char *home;
	const char *shell; /* of the host; used if the image has it */
};

/*
 * Make sure that the image has an account with the user's id. One that exists is taken as it is, whatever its name;
 * else lines are added to /etc/passwd, group and shadow, and the home folder is made. Either may use sudo where the
 * image has it. Changes nothing when all is there. Needs no program of the image. Runs with the disk as root.
 */
MUST_USE int account_ensure(const struct account *account, struct annex_error **err);
