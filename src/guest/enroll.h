#pragma once
#include "guest/account.h"

/* What is left to be done about the account when the machine's namespaces are there, but its init does not yet run. */
struct enroll {
	const struct account *account;
	const struct account_user *user;
	const char *machine_id;
	const char *const *environment; /* of the image and its settings */
	unsigned deadline_factor;
};

/*
 * Run the image's script, if it has one; then look whether programs of the image know the account, and whether sudo and
 * doas ask for no password, which is said on the console if not. Runs as PID 1 of the machine's namespaces, and blocks:
 * for the checks with limits of time, for the script until it ends. What goes on in there ends with the process.
 */
MUST_USE int enroll(const struct enroll *enroll, struct annex_error **err);
