#pragma once
#include "base/error.h"

#include <stdbool.h>

/*
 * Open (O_PATH) what a path means in a machine whose root folder `root` is: links count from there, and nothing leads
 * out of it. What is missing is made: folders with mode 0755, or an empty file at the end, of root; below a share of
 * the folder's owner, since the host sees them too. USAGE when there is something of the other kind.
 */
MUST_USE int place_make(int *ret, int root, const char *path, bool is_file, struct annex_error **err);

/* The same without making anything: -errno. */
MUST_USE int place_open(int root, const char *path);
