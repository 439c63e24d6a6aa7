#pragma once
#include "base/error.h"

/*
 * The machine's control groups, seen by the agent below /sys/fs/cgroup:
 *
 *   machine             the root that the machine sees; no process in it, so that controllers can be passed on
 *   machine/init.scope  its init; systemd knows this name, and takes the group above it for its own root
 *   machine/annex/N     one for each session. Beside what systemd manages, not below it: a session is no unit, and
 *                       systemd leaves alone what it did not make
 *
 * cgroup v2 has no processes in inner nodes; this layout keeps to it for every init, also one that knows nothing of it.
 */
#define CGROUP_MACHINE "/sys/fs/cgroup/machine"

MUST_USE int cgroup_prepare(struct annex_error **err); /* at boot: all controllers to the machine */
/* Make the machine's groups anew, without what an earlier init left. No process of it lives any more. */
MUST_USE int cgroup_reset(struct annex_error **err);

/* In the process that becomes init: enter a new control group namespace with the machine's root as its root. */
MUST_USE int cgroup_enter_as_init(struct annex_error **err);

/* In a session's process, before it enters the machine's namespaces. */
MUST_USE int cgroup_enter_as_session(unsigned number, struct annex_error **err);
/* Remove the groups of all sessions that have no process any more. */
void cgroup_sweep(void);
