#pragma once
#include "kernel/kernel.h"

/* Kernels that machines name by the path of a file. */

/* lib/modules/RELEASE beside it, else the host's own of that release, else NULL. `file` is absolute. */
MUST_USE int named_find_modules(char **ret, const char *file, const char *release, struct annex_error **err);
/* Into ROOT/.files/SHA256; *ret is that folder's path. */
MUST_USE int named_install(char **ret, const char *root, const char *file, struct annex_error **err);
