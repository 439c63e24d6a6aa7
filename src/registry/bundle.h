#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The files that an image comes in, found by name: a folder as it is, or an archive (tar; plain, gzip, zstd or xz)
 * unpacked into a private folder. Only regular files are kept, under numbers; an archive's names never become paths.
 */
#define BUNDLE_FILE_LIMIT 8192u          /* regular files and links of an archive */
#define BUNDLE_NAME_LIMIT 1024u          /* bytes of one name in it */
#define BUNDLE_SIZE_LIMIT (256ull << 30) /* bytes of all files together */
#define BUNDLE_LINK_LIMIT 8u             /* links that lead to links */

struct bundle;

/* Bytes read so far and in all (0: unknown); non-zero cancels. */
typedef int bundle_progress_fn(uint64_t done, uint64_t total, void *data);

/* Takes dir. */
MUST_USE int bundle_from_folder(struct bundle **ret, int dir, struct annex_error **err);
/* Reads fd to the archive's end; the unpacked files are beneath `folder` until bundle_free(). CORRUPT: not a tar
 * archive, or damaged. `what` names it in errors. Blocks. */
MUST_USE int bundle_from_archive(struct bundle **ret, int fd, const char *what, const char *folder,
				 bundle_progress_fn *progress, void *data, struct annex_error **err);
void bundle_free(struct bundle *bundle);
static inline void cleanup_bundle(struct bundle **bundle)
{
	bundle_free(*bundle);
}
#define auto_bundle CLEANUP(cleanup_bundle)

/* A descriptor at the start of a regular file, or -errno (-ENOENT). Links within an archive are followed. */
MUST_USE int bundle_open(uint64_t *ret_size, const struct bundle *bundle, const char *name);
bool bundle_has(const struct bundle *bundle, const char *name);
/* A whole file, NUL-terminated; -EFBIG past limit. The caller frees it. */
MUST_USE int bundle_read(char **ret, size_t *ret_size, const struct bundle *bundle, const char *name, size_t limit);
