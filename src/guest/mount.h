#pragma once
#include "guest/shares.h"
#include "guest/terminals.h"

/* Where the machine's disk is mounted as the agent sees it. */
#define MOUNT_DISK "/disk"

/* The agent's own mounts, private to it; its root becomes a tmpfs, so that a namespace made later can pivot. */
MUST_USE int mount_agent(struct annex_error **err);

struct mount_options {
	const char *console;    /* the path of the terminal that becomes /dev/console */
	unsigned tty_gid;       /* owns terminals */
	bool systemd;           /* is the init */
	const char *units_home; /* a shared home, in which systemd's user units are the machine's own; or NULL */
	const struct shares *shares;
	const struct terminals *terminals; /* may be NULL */
};

/* Mount what a program as PID 1 of new namespaces expects, and what is shared, and make the disk its root. Runs in that
 * process. */
MUST_USE int mount_machine(const struct mount_options *options, struct annex_error **err);
