#pragma once
#include "base/error.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Image layers become one ext4 file system in a file, as an ordinary user and without mounting anything. Layers are
 * untrusted: what they can make us hold is capped here, and their names never reach the host's file system.
 */
#define ROOTFS_ENTRIES  (8u << 20)          /* names in the tree, and entries of a layer */
#define ROOTFS_METADATA (UINT64_C(2) << 30) /* memory for the tree, in bytes */
#define ROOTFS_PATH     4096                /* bytes of a path or of a link's target, with the NUL */
#define ROOTFS_NAME     255                 /* bytes of one name */
#define ROOTFS_DEPTH    2048                /* folders within folders */
#define ROOTFS_LINKS    65000               /* names of one file: what ext4 can count */
#define ROOTFS_FOLLOW   40                  /* symbolic links on the way to one file */
#define ROOTFS_STEPS    (UINT64_C(1) << 24) /* names looked at on the way to entries and below whiteouts, beside… */
#define ROOTFS_PACE     256u                /* …so many for each entry */
#define ROOTFS_FILE     (UINT64_C(1) << 43) /* bytes of one file, holes included */
#define ROOTFS_DATA     (UINT64_C(1) << 40) /* bytes of file contents without holes: of the disk */
#define ROOTFS_DAMAGED  EUCLEAN             /* errno of the errors about indexes and donors */
#define ROOTFS_STREAM   (UINT64_C(1) << 40) /* bytes of one layer after decompression */
#define ROOTFS_BOMB     (UINT64_C(4) << 30) /* bytes after decompression from which the ratio counts */
enum {
	ROOTFS_BOMB_RATIO = 256, /* how many times the blob's size a layer may become */
	ROOTFS_PARALLEL = 4      /* layers that are decoded at once */
};

enum rootfs_source {
	ROOTFS_DECODE, /* `fd` is the blob */
	ROOTFS_COPY,   /* decoded for another disk already: `donor_index`, with the contents on `donor_disk` */
	ROOTFS_KEEP    /* decoded for this disk already, by a build that was interrupted: `index` is complete */
};
enum rootfs_compression { ROOTFS_PLAIN, ROOTFS_GZIP, ROOTFS_ZSTD };

/* One layer. Descriptors are borrowed. */
struct rootfs_layer {
	enum rootfs_source source;
	int fd; /* DECODE: stands at the start of the blob, may be a pipe, is read to its end */
	enum rootfs_compression compression;
	const char *digest;  /* of the blob as stored, "sha256:…" */
	uint64_t size;       /* of the blob as stored, in bytes */
	const char *diff_id; /* of the plain tar stream, from the image's configuration */
	int index; /* the layer's index (rootfs/index.h): DECODE, COPY: an empty file that gets it; KEEP: it is read */
	int donor_index, donor_disk; /* COPY */
};

/* All may be NULL; called from the thread that builds. */
struct rootfs_events {
	/* A few times per second, and when a layer is in. done[i]: bytes of blob i that were taken in; of those that
	 * are not decoded its size, once the layer is in. Non-zero cancels. */
	int (*progress)(const uint64_t *done, size_t count, void *data);
	/* A layer that was not kept is verified and its index is complete: a later build of this disk can keep it. In
	 * any order; also on the way out of a build that fails. */
	void (*layer_done)(size_t layer, void *data);
	/* All layers are in; what remains is the file system around them. */
	void (*finishing)(void *data);
	void *data;
};

/*
 * Write the file system of the layers (lowest first) into `disk`, which is empty, or that of an interrupted build when
 * layers are kept; what else is in it goes. *ret_size is its apparent size, most of which is holes. Up to
 * ROOTFS_PARALLEL layers are decoded at once, begun lowest first: whoever feeds pipes must begin in that order too.
 * Sizes, digests and diff ids are verified. Opens no file. Nothing is synced. On failure `disk` holds the contents of
 * the layers that were reported done. `events` may be NULL. Blocks. CORRUPT: a layer is not what it should be, or an
 * index or a donor is damaged (then its errno is ROOTFS_DAMAGED); UNSUPPORTED: ext4 can't hold it; SYSTEM: the host
 * failed (ENOSPC: no space left); CANCELLED.
 */
MUST_USE int rootfs_build(int disk, const struct rootfs_layer *layers, size_t count, const struct rootfs_events *events,
			  uint64_t *ret_size, struct annex_error **err);

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
