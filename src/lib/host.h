#pragma once
#include "base/error.h"
#include "base/text.h"
#include "wire/message.h"

/* What a session is told of where it is looked at from: the terminal, language, time zone and proxies of this process.
 */
struct host_login {
	struct text_list variables;
	char *time_zone_rule;
	char *terminfo;
	size_t terminfo_size;
};

/* With a terminal also what that can do. What isn't set, or can't be read, is left out. */
MUST_USE int host_login_make(struct host_login *ret, bool terminal, struct annex_error **err);
/* More of it; `host_access` as in machine/proxy.h. */
MUST_USE int host_login_add_proxies(struct host_login *login, bool host_access, struct annex_error **err);
void host_login_clear(struct host_login *login);
#define auto_host_login CLEANUP(host_login_clear)

/* The compiled entry of a terminal, found as ncurses does; NULL: there is none, or it is not right. The caller frees
 * it. */
char *host_terminfo(size_t *ret_size, const char *name);
