#pragma once
#include "base/error.h"

/* Write modules.dep, modules.softdep and modules.alias of a folder lib/modules/RELEASE, as depmod does when a package
 * is installed: packages come without them. */
MUST_USE int depmod_write(const char *folder, struct annex_error **err);

/* Does the first module found say that it is for this release? A folder without modules is for any. */
MUST_USE int depmod_check_release(const char *folder, const char *release, struct annex_error **err);
