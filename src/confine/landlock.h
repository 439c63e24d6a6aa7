#pragma once
#include "base/error.h"

/* Landlock by raw system calls: neither the C library nor the kernel's headers of older distributions have all of it.
 */

/* The kernel's ABI version; 0: it has no Landlock, or has it switched off. */
int landlock_abi(void);

/* For ever: this thread and what it starts can open, make, remove and rename no file; use no TCP port where the ABI has
 * that (4), send no signal and reach no abstract socket outside (6). no_new_privs must be set. -errno. */
MUST_USE int landlock_confine(int abi);
