#pragma once
#include "base/error.h"

#include <stdbool.h>

/* The system calls that a confined process may make. The lists and their reasons are in filter.c. */

/* Has the kernel seccomp with filters that can kill a process? */
bool filter_is_supported(void);

/* For ever, for this thread and what it starts; no_new_privs must be set. */
MUST_USE int filter_load(struct annex_error **err);
