#pragma once
#include "base/error.h"

/* The home of this process's user, as the host's accounts name it and as a machine has it: without "//", "/./" and a
 * slash at the end; it need not exist. The caller frees *ret. */
MUST_USE int machine_home(char **ret, struct annex_error **err);
