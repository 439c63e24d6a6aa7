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

#define ACCOUNT_SCRIPT   "/etc/machine/create-user.sh" /* the image's own way of making it */
#define ACCOUNT_FILE_MAX (16u << 20)                   /* bytes of /etc/passwd, group, shadow and their like */

/* What is left to be done when the machine's namespaces are there. */
enum account_rest {
	ACCOUNT_DONE,
	ACCOUNT_CHECK, /* look whether programs of the image agree with what was changed */
	ACCOUNT_RUN,   /* the script, and then check */
};

struct account_user {
	char *name, *home; /* as programs in the machine know them; of the script: as they should */
	enum account_rest rest;
};
void account_user_clear(struct account_user *user);
#define auto_account_user CLEANUP(account_user_clear)

/*
 * Make sure that the image has an account for the user, as docs/account.md has it. Changes nothing when all is there.
 * Needs no program of the image. Runs with the disk as root.
 */
MUST_USE int account_ensure(struct account_user *ret, const struct account *account, struct annex_error **err);

/* Of the account that the script has made: its name and home, which is the host's where that is shared. NOT_FOUND when
 * there is none. With the disk as root. */
MUST_USE int account_take(struct account_user *ret, const struct account *account, struct annex_error **err);

/* Remember, for later starts, that it is all done; by whom. With the disk as root. */
MUST_USE int account_settle(const struct account *account, bool by_script, struct annex_error **err);
