#pragma once
#include "guest/passwd.h"
#include "wire/message.h"

/* Tags in what the child reports: the terminal's other side, the session's record in the machine's utmp, and what keeps
 * it in logind's list; further tags are of guest/offering.h. */
#define LAUNCH_TERMINAL 0u
#define LAUNCH_RECORD   1u
#define LAUNCH_LOGIND   2u

/* Becoming the program of a session, in a child that was born in the machine's pid namespace. */
struct launch {
	const struct message_open *open;
	const struct message_config *config;
	int init_pidfd;
	unsigned number;
	int report;          /* gets the terminal's other side, if one is wanted, and errors */
	int in, out, errors; /* without a terminal; -1: /dev/null */
};

/* Enter the machine and tell who the session's user is there. For children that do something else on
 * a session's behalf. */
MUST_USE int launch_enter(struct passwd_identity *ret, const struct launch *launch, struct annex_error **err);

_Noreturn void launch(const struct launch *launch);
