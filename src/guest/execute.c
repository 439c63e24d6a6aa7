#include "guest/execute.h"

#include "guest/env.h"
#include "guest/process.h"

#include <grp.h>
#include <stdio.h>
#include <unistd.h>

int execute_as(const struct passwd_identity *identity, struct annex_error **err)
{
	gid_t groups[PASSWD_GROUPS_MAX];

	for (size_t i = 0; i < identity->group_count; i++)
		groups[i] = identity->groups[i];
	if (setgroups(identity->group_count, groups) < 0 ||
	    setresgid(identity->user.gid, identity->user.gid, identity->user.gid) < 0 ||
	    setresuid(identity->user.uid, identity->user.uid, identity->user.uid) < 0)
		return fail_os(err, errno, "cannot become user %s", identity->user.name);
	return 0;
}

static int not_found(const char *name, struct annex_error **err)
{
	auto_free char *message = NULL;

	if (asprintf(&message, "%s: no such program in the machine", name) < 0) {
		message = NULL;
		return fail_memory(err);
	}
	return fail_relayed(err, ANNEX_ERROR_NOT_FOUND, ENOENT, message, NULL);
}

int execute_program(const char *name, const char *const *argv, const struct text_list *env, struct annex_error **err)
{
	auto_text_list struct text_list candidates = {0};
	int refused = 0;

	if (env_candidates(&candidates, env_get(env, "PATH"), name) < 0)
		return fail_memory(err);
	process_limit_files();
	for (size_t i = 0; i < candidates.count; i++) {
		execve(candidates.items[i], (char *const *)argv, env->items);
		if (errno == EACCES)
			refused = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR)
			return fail_os(err, errno, "cannot run %s", candidates.items[i]);
	}
	return refused ? fail_os(err, refused, "cannot run %s", name) : not_found(name, err);
}
