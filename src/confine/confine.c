/*
 * Order matters: no_new_privs is what lets an ordinary user set up the others; Landlock's own system calls are not on
 * the filter's list, so the filter comes last. Each is a wall of its own: where the kernel lacks one, the rest stands.
 * What the kernel has must work, though: a wall that can't be set up is an error.
 */
#include "confine/confine.h"

#include "base/log.h"
#include "confine/filter.h"
#include "confine/landlock.h"

#include <sys/prctl.h>
#include <sys/resource.h>

static int set_limits(void)
{
	static const struct {
		int resource;
		rlim_t most;
	} limits[] = {
		{RLIMIT_CORE, 0}, /* nothing of a stranger's making is written where the host looks for crashes */
		{RLIMIT_MSGQUEUE, 0},
		{RLIMIT_MEMLOCK, 0},
	};

	for (size_t i = 0; i < COUNT_OF(limits); i++) {
		if (setrlimit(limits[i].resource, &(struct rlimit){limits[i].most, limits[i].most}) < 0)
			return -errno;
	}
	return 0;
}

int confine(struct support *ret, struct annex_error **err)
{
	struct support has = support_probe();
	int result = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;

	/* The limit of core files does not hold for hosts that pipe them into a program. */
	if (result == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		result = -errno;
	if (result == 0 && has.landlock > 0)
		result = landlock_confine(has.landlock);
	if (result == 0)
		result = set_limits();
	if (result < 0)
		return fail_os(err, result, "cannot confine the process");
	if (has.seccomp && filter_load(err) < 0)
		return fail_while(err, "cannot confine the process");
	log_debug("confined: Landlock ABI %d, seccomp %s", has.landlock, has.seccomp ? "yes" : "no");
	*ret = has;
	return 0;
}
