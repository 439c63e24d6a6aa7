#pragma once
#include "guest/shares.h"

/* Where the machine's disk is mounted as the agent sees it. */
#define MOUNT_DISK "/disk"

/* The agent's own mounts, private to it; its root becomes a tmpfs, so that a namespace made later can pivot. */
MUST_USE int mount_agent(struct annex_error **err);

/* Mount what a program as PID 1 of new namespaces expects and make the disk its root. Runs in that process. `console`
 * is the path of the terminal that becomes /dev/console; `tty_gid` owns terminals; `shares` are bound to their places.
 */
MUST_USE int mount_machine(const char *console, unsigned tty_gid, const struct shares *shares,
			   struct annex_error **err);
