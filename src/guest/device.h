#pragma once
#include "base/error.h"

/* Make a machine's device nodes and links in its /dev. The caller has set the umask to 0. */
MUST_USE int device_make(const char *folder, struct annex_error **err);
