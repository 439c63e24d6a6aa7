#pragma once
#include "base/error.h"

#include <stdbool.h>

/* Landlock by raw system calls: neither the C library nor the kernel's headers of older distributions have all of it.
 */

/* The kernel's ABI version; 0: it has no Landlock, or has it switched off. */
int landlock_abi(void);

/* What can be opened, made, removed and renamed is only what is allowed beneath; executed nothing; no TCP port can be
 * used where the ABI has that (4) unless `network` says so, no signal sent and no abstract socket reached outside (6).
 * A descriptor, or -errno.
 */
MUST_USE int landlock_begin(int abi, bool network);
/* What lies beneath a folder, or a file, by its descriptor. -errno. */
MUST_USE int landlock_allow(int rules, int abi, int fd, bool changes);
/* For ever: this thread and what it starts. no_new_privs must be set. -errno. */
MUST_USE int landlock_enter(int rules);
