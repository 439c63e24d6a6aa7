#pragma once
#include "base/error.h"

#include <stdbool.h>

/* The binary indexes (modules.dep.bin and others) of a folder lib/modules/RELEASE, which the modprobe of kmod reads and
 * nothing else. Only depmod writes them. */

#define KMOD_HINT "install kmod (Debian, Fedora and Arch: kmod)"

/* The path of depmod, also where PATH lacks the folder that it is in; NULL: it is not installed. The caller frees it.
 */
char *kmod_find(void);

/* Are they there? */
bool kmod_is_indexed(const char *folder);

/* Write them; the texts stay as they are. NOT_FOUND: there is no depmod. */
MUST_USE int kmod_index(const char *folder, const char *release, struct annex_error **err);
