#pragma once
#include "base/error.h"
#include "confine/support.h"

#include <stdint.h>

struct filter;

/*
 * For a process that works on what strangers made or say: no network unless that is its work, no files but those that
 * are open already and what is allowed beneath, no new programs or processes, nobody's memory, no more privileges. By
 * Landlock and seccomp where the kernel has them, and by limits everywhere. Once, for ever, while there is one thread.
 * What libraries want to open must be open, or never be needed.
 */
struct confine_profile {
	const struct filter *filter;
	int landlock_least;    /* the ABI it takes: with an older one Landlock is not used */
	bool network;          /* TCP is its work: Landlock lets it alone */
	uint64_t capabilities; /* that stay, of those that root has: a bit for each */
};

struct confinement {
	const struct confine_profile *profile;
	struct support has; /* what the kernel has for it */
	int rules;          /* of Landlock */
};

MUST_USE int confine_begin(struct confinement *ret, const struct confine_profile *profile, struct annex_error **err);
/* Files beneath a folder, or one file, by its descriptor: to read, or to do anything with but execute. */
MUST_USE int confine_allow(struct confinement *confinement, int fd, bool changes, struct annex_error **err);
MUST_USE int confine(struct confinement *confinement, struct annex_error **err);
void confine_end(struct confinement *confinement); /* of what was not used; the zero-initialised is allowed */
#define auto_confinement CLEANUP(confine_end)
