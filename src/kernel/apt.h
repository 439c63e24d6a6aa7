#pragma once
#include "base/error.h"

/*
 * The distribution's kernel for virtual machines, by apt: found in apt's lists, downloaded into a folder, installed
 * nowhere. Works as an ordinary user. `progress` is kernel_install()'s. UNSUPPORTED where there is no apt, NOT_FOUND
 * when its lists have no kernel, NETWORK when the download fails.
 */
/* *ret is the path of the downloaded linux-image package; one of its modules, if they are apart, lies beside it. */
MUST_USE int apt_download(char **ret, const char *folder, int (*progress)(const char *what, void *data), void *data,
			  struct annex_error **err);

/* The package that a metapackage stands for: the first name in a Depends field that starts with `prefix` and a digit,
 * in what `apt-cache show` prints. NULL: none, or memory ran out. The caller frees it. */
char *apt_depends(const char *shown, const char *prefix);
