#pragma once
#include "guest/passwd.h"

/* The last steps before a program runs, of a session or a service; all in the process that becomes it. */

/* Groups, group and user, for good. */
MUST_USE int execute_as(const struct passwd_identity *identity, struct annex_error **err);
/* Look it up as shells do by the PATH of `env`, where a program that may not be executed counts only when no later one
 * can be. Returns only to say why not: NOT_FOUND with ENOENT, or what the system says. */
int execute_program(const char *name, const char *const *argv, const struct text_list *env, struct annex_error **err);
