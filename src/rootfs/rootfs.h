#pragma once
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Image layers become one ext4 file system in a file, as an ordinary user and without mounting anything. Layers are
 * untrusted: what they can make us hold is capped here, and their names never reach the host's file system.
 */
#define ROOTFS_ENTRIES  (8u << 20)          /* names in the tree */
#define ROOTFS_METADATA (UINT64_C(2) << 30) /* memory for the tree, in bytes */
#define ROOTFS_PATH     4096                /* bytes of a path or of a link's target, with the NUL */
#define ROOTFS_NAME     255                 /* bytes of one name */
#define ROOTFS_DEPTH    2048                /* folders within folders */
#define ROOTFS_LINKS    65000               /* names of one file: what ext4 can count */
#define ROOTFS_FOLLOW   40                  /* symbolic links on the way to one file */
#define ROOTFS_FILE     (UINT64_C(1) << 43) /* bytes of one file, holes included */
#define ROOTFS_DATA     (UINT64_C(1) << 40) /* bytes of file contents without holes: of the disk */
#define ROOTFS_STREAM   (UINT64_C(1) << 40) /* bytes of one layer after decompression */

enum rootfs_compression { ROOTFS_PLAIN, ROOTFS_GZIP, ROOTFS_ZSTD };

/* One layer. `fd` stands at the start of the blob and may be a pipe; it is borrowed and read to its end. */
struct rootfs_layer {
	int fd;
	enum rootfs_compression compression;
	const char *digest;  /* of the blob as stored, "sha256:…" */
	uint64_t size;       /* of the blob as stored, in bytes */
	const char *diff_id; /* of the plain tar stream, from the image's configuration */
};

struct rootfs_report {
	uint64_t done, total; /* bytes of blobs */
};
/* Called from the thread that builds, a few times per megabyte and per second. Non-zero cancels. */
typedef int rootfs_progress_fn(const struct rootfs_report *report, void *data);

/*
 * Write the file system of the layers (lowest first) to the new file `path`; *ret_size is its apparent size, most of
 * which is holes. Blobs are read once, in order; sizes, digests and diff ids are verified. The file is synced; on
 * failure it is removed. `progress` may be NULL. Blocks. CORRUPT: a layer is not what it should be; UNSUPPORTED: ext4
 * can't hold it; SYSTEM: the host failed (ENOSPC: no space left); CANCELLED; EXISTS: there is such a file.
 */
MUST_USE int rootfs_build(const char *path, const struct rootfs_layer *layers, size_t count,
			  rootfs_progress_fn *progress, void *data, uint64_t *ret_size, struct annex_error **err);

/* Looks into a finished file system (raw, not an overlay). Not for two threads at once. */
struct rootfs;
MUST_USE int rootfs_open(struct rootfs **ret, const char *path, struct annex_error **err);
void rootfs_free(struct rootfs *rootfs);
static inline void cleanup_rootfs(struct rootfs **rootfs)
{
	rootfs_free(*rootfs);
}
#define auto_rootfs CLEANUP(cleanup_rootfs)

/* The file a path leads to, links followed within the image: its own path and its st_mode. The caller frees *ret_path;
 * both may be NULL. -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG, -ENOMEM, -EIO. */
MUST_USE int rootfs_resolve(struct rootfs *rootfs, const char *path, char **ret_path, uint32_t *ret_mode);

/* The contents of a regular file, NUL-terminated behind *ret_size bytes (may be NULL); the caller frees it. NOT_FOUND
 * when there is none, CORRUPT when it is larger than `limit` or not a regular file. */
MUST_USE int rootfs_read_file(struct rootfs *rootfs, char **ret, size_t *ret_size, const char *path, size_t limit,
			      struct annex_error **err);
