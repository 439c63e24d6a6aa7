#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Files and folders of an image that is the root folder. Links count, also those that lead to nowhere: /home, or all
 * of /etc, is such a one on images that fill /var at their first start. What is missing on their way is made.
 */

/* The first line of a file that annex writes, and leaves alone once that line is gone. */
#define ETCFILE_OURS "# Written by annex at each start. Remove this line to keep your own changes.\n"

/* Any bytes; empty when there is no such file (*ret_there may be NULL). Nothing but a regular file is read. */
MUST_USE int etcfile_read(struct text *ret, bool *ret_there, const char *path, size_t limit, struct annex_error **err);
/* Replace it by rename; mode and owner stay, `mode` is for a new one. A link to it stays. */
MUST_USE int etcfile_write(const char *path, const struct text *text, mode_t mode, struct annex_error **err);

MUST_USE int etcfile_make_folders(const char *path, mode_t mode); /* -errno; those around it are 0755 */
MUST_USE int etcfile_make_parents(const char *path);              /* -errno */
