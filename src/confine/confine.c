/*
 * Order matters: no_new_privs is what lets an ordinary user set up the others; Landlock's own system calls are not on
 * the filter's list, so the filter comes last. Each is a wall of its own: where the kernel lacks one, the rest stands.
 * What the kernel has must work, though: a wall that can't be set up is an error.
 */
#include "confine/confine.h"

#include "base/log.h"
#include "confine/capability.h"
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

static bool uses_landlock(const struct confinement *confinement)
{
	return confinement->has.landlock > 0 && confinement->has.landlock >= confinement->profile->landlock_least;
}

int confine_begin(struct confinement *ret, const struct confine_profile *profile, struct annex_error **err)
{
	struct confinement confinement = {.profile = profile, .has = support_probe(), .rules = -EBADF};

	if (uses_landlock(&confinement)) {
		confinement.rules = landlock_begin(confinement.has.landlock, profile->network);
		if (confinement.rules < 0)
			return fail_os(err, confinement.rules, "cannot confine the process by Landlock");
	}
	*ret = confinement;
	return 0;
}

int confine_allow(struct confinement *confinement, int fd, bool changes, struct annex_error **err)
{
	int result;

	if (confinement->rules < 0)
		return 0;
	result = landlock_allow(confinement->rules, confinement->has.landlock, fd, changes);
	return result < 0 ? fail_os(err, result, "cannot confine the process by Landlock") : 0;
}

int confine(struct confinement *confinement, struct annex_error **err)
{
	int result = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;

	/* The limit of core files does not hold for hosts that pipe them into a program. */
	if (result == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		result = -errno;
	if (result == 0)
		result = set_limits();
	if (result == 0)
		result = capability_keep(confinement->profile->capabilities);
	if (result == 0 && confinement->rules >= 0)
		result = landlock_enter(confinement->rules);
	confine_end(confinement);
	if (result < 0)
		return fail_os(err, result, "cannot confine the process");
	if (confinement->has.seccomp && filter_load(confinement->profile->filter, err) < 0)
		return fail_while(err, "cannot confine the process");
	log_debug("confined: Landlock ABI %d%s, seccomp %s", confinement->has.landlock,
		  uses_landlock(confinement) ? "" : " (not used)", confinement->has.seccomp ? "yes" : "no");
	return 0;
}

void confine_end(struct confinement *confinement)
{
	if (!confinement->profile)
		return;
	cleanup_close(&confinement->rules);
	confinement->rules = -EBADF;
}
