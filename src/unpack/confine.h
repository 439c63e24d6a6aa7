#pragma once
#include "base/error.h"

#include <stdbool.h>

/*
 * For a process that decodes what strangers made: no network, no files but those that are open already, no new programs
 * or processes, nobody's memory, no more privileges. By Landlock and seccomp where the kernel has them, and by limits
 * everywhere.
 */
struct confinement {
	int landlock; /* ABI; 0: the kernel has none */
	bool seccomp;
};

/* What the kernel has. */
struct confinement confine_support(void);

/* Once, for ever, while there is one thread. What libraries want to open must be open, or never be needed. */
MUST_USE int confine(struct confinement *ret, struct annex_error **err);
