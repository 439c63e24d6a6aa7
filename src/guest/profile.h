#pragma once
#include "base/error.h"
#include "base/text.h"

/*
 * What /etc/profile does to PATH is undone by a file in /etc/profile.d, where the image has that: folders of the
 * image's PATH (or the setting's) that are no standard ones are there in every login shell, of whichever user.
 */
#define PROFILE_FILE_MAX (64u << 10)

/* Write it, or take it away, when it is ours. `path` may be NULL. `root`: "", or a folder that stands for the machine's
 * root. */
MUST_USE int profile_write(const char *root, const char *path, struct annex_error **err);

/* The script; empty when there is nothing to add. Pure. */
void profile_make(struct text *out, const char *path);
