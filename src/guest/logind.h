#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdint.h>

/*
 * Sessions in systemd's list (`loginctl`). A session of logind's is a scope, which systemd ends first when it stops,
 * and ours must outlive that. So what is in the scope, and is logind's leader of the session, is a process that only
 * waits for the session's end: this program under another name. It asks logind, which takes its time, beside the
 * session.
 */
#define LOGIND_PROGRAM "annex-login"

struct logind_session {
	uint32_t uid;
	unsigned terminal; /* /dev/pts/N */
};

/*
 * Where logind runs and knows the user already. `self`: this program, open. Runs as the machine's root. A descriptor:
 * the session is in the list until all of its copies are closed; -1: it isn't.
 */
int logind_register(int self, const struct logind_session *session);

/* That process. Descriptor 0 is the other end. */
_Noreturn void logind_main(int argc, char **argv);

/* What is said on the bus, behind the authentication. Pure. */
void logind_put_calls(struct text *out, uint32_t pid, const struct logind_session *session);
