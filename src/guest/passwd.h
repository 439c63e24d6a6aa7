#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Look-ups in the texts of /etc/passwd and /etc/group, without the C library's, which a static program has only in part
 * and which know nothing of another root folder. Malformed lines are skipped. Pure, but for passwd_read().
 */
#define PASSWD_GROUPS_MAX 1024u /* supplementary groups of a user */

struct passwd_user {
	char *name;
	uint32_t uid, gid;
	char *home, *shell;
};
void passwd_user_clear(struct passwd_user *user);
#define auto_passwd_user CLEANUP(passwd_user_clear)

/* The first line that matches; *ret is only written when there is one. -ENOENT, -ENOMEM. */
MUST_USE int passwd_by_name(struct passwd_user *ret, const char *passwd, const char *name);
MUST_USE int passwd_by_uid(struct passwd_user *ret, const char *passwd, uint32_t uid);
bool passwd_group_by_name(uint32_t *ret_gid, const char *group, const char *name);
/* The groups that list the user as a member, after `gid`, each once; at most `limit`. How many. */
size_t passwd_groups_of(uint32_t *ret, size_t limit, const char *group, const char *user, uint32_t gid);

/* One of the files as a text without NUL bytes; `otherwise` if there is none. The caller frees it. */
MUST_USE int passwd_read(char **ret, const char *path, const char *otherwise, struct annex_error **err);

/* "USER" or "USER:GROUP", each a name or a number; `ret` of a user that /etc/passwd does not have: the number as name,
 * gid 0, home "/", no shell. NOT_FOUND for an unknown name. */
struct passwd_identity {
	struct passwd_user user;
	uint32_t groups[PASSWD_GROUPS_MAX];
	size_t group_count; /* none but its own when a group was given */
};
MUST_USE int passwd_resolve(struct passwd_identity *ret, const char *spec, const char *passwd, const char *group,
			    struct annex_error **err);
