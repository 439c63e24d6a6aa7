#pragma once
#include "guest/launch.h"
#include "guest/passwd.h"

/* The sockets that a session's forwards make in the machine, in its child process. Each is reported, tagged with
 * OFFERING_TAG and the forward's number. */
#define OFFERING_TAG    3u
#define OFFERING_FOLDER "/run/annex" /* with a folder for each session that has the agent's socket */

/* As root: the socket for SSH_AUTH_SOCK, if that is offered, in a folder of its own; for the user and nobody else.
 * *ret is its path (the caller's); NULL: there is none, or it can't be made, which is no reason to have no session. */
MUST_USE int offering_make_agent(char **ret, const struct launch *launch, const struct passwd_user *user,
				 struct annex_error **err);
void offering_remove_agent(unsigned number); /* by the number of the session */

/* As the user: the sockets at the paths that were asked for. */
MUST_USE int offering_listen(const struct launch *launch, struct annex_error **err);
