#pragma once
#include "base/error.h"

#include <stddef.h>

#define INITRAMFS_AGENT_LIMIT (64u << 20) /* bytes of the agent program */

/*
 * The bytes of an initramfs: /init (the agent), /dev/console, the folders /proc /sys /dev /root /run,
 * /modules/NNN-NAME.ko decompressed, and /modules/order with their file names in the order of insertion.
 * `modules` is a folder lib/modules/RELEASE, or NULL when everything is built in. UNSUPPORTED when the kernel lacks
 * what a machine can't do without. The caller frees *ret.
 */
MUST_USE int initramfs_make(char **ret, size_t *ret_size, const char *agent, size_t agent_size, const char *modules,
			    struct annex_error **err);
