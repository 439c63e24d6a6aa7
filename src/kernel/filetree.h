#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdint.h>

#define FILETREE_FILES_LIMIT 200000u /* files of a folder of modules */
#define FILETREE_DEPTH_LIMIT 32u

/* The paths of all regular files below a folder, relative to it and sorted; symbolic links are passed over. */
MUST_USE int filetree_list(struct text_list *ret, int dir, struct annex_error **err);
/* Open for writing a new file below a folder, making the folders that its relative path needs; the descriptor or
 * -errno. */
MUST_USE int filetree_create(int dir, const char *path);
/* Copy all regular files of one folder into another. */
MUST_USE int filetree_copy(int to, int from, struct annex_error **err);
/* One digest over all paths and contents (as sha256 text of DIGEST_TEXT bytes), and the bytes that the files take. */
MUST_USE int filetree_measure(char *ret_digest, uint64_t *ret_size, int dir, struct annex_error **err);
