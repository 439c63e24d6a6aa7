#pragma once
#include "guest/share.h"

/*
 * The virtio-fs with all shares, mounted once and for the agent only, and its parts in the machine. Set-user-ID and
 * device files do nothing there: see docs/decisions.md.
 */

/* UNSUPPORTED: the kernel has no driver; NOT_FOUND: the virtual machine has no such device. Waits for the host's
 * server: for the boot. */
MUST_USE int sharefs_mount(struct annex_error **err);
/* Write what is not yet written and unmount, if it is mounted; when no process of the machine is left. */
void sharefs_unmount(void);

/* So that writing works again where an earlier init has made all of it read-only as it ended. In whose mounts are to be
 * made. */
void sharefs_refresh(void);

/* A mount of a share that is attached nowhere yet. */
struct binding {
	int tree;
	int links; /* the agent's /proc/self/fd of this process, where its descriptors tell their paths */
};
#define BINDING_NONE                    \
	{                               \
		.tree = -1, .links = -1 \
	}
void binding_clear(struct binding *binding);
#define auto_binding CLEANUP(binding_clear)

/* NOT_FOUND: the host has no such share. */
MUST_USE int sharefs_open(struct binding *ret, const struct share *share, struct annex_error **err);
/* Attach it to its place below a folder. The process may have entered other mounts since it opened it. */
MUST_USE int sharefs_bind(const struct binding *binding, const char *root, const struct share *share,
			  struct annex_error **err);

/* Does a mount table (/proc/PID/mountinfo) have a mount of it? Pure. */
bool sharefs_is_listed(const char *table, const struct share *share);

/* Unmount it again from the mounts of `init_pidfd`, which this process enters, and write what is not yet written. BUSY:
 * it is in use, unless forced. What is no longer mounted is as good. */
MUST_USE int sharefs_unbind(int init_pidfd, const struct share *share, bool force, struct annex_error **err);
