#pragma once
#include "base/error.h"

/* The system calls that a confined process may make. The lists and their reasons are in filter.c. */

/* For ever, for this thread and what it starts; no_new_privs must be set. */
MUST_USE int filter_load(struct annex_error **err);
