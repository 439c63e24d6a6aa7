#pragma once
#include "rootfs/blocks.h"

/*
 * The index of a layer: what it says, in its order, in a file; the contents of its regular files lie on a disk image
 * and are referred to by extents. It is made when the layer is decoded, merged into trees by this and later builds, and
 * enough to make the layer anew. How it is written is described in index.c.
 */
enum {
	INDEX_RECORD = 32768,   /* bytes of one record: two paths and attributes, or a run of extents */
	INDEX_EXTENTS = 1 << 20 /* of one file */
};

enum index_kind {
	INDEX_NODE = 1, /* `path`, "" for the root, is a file of the type in `mode` */
	INDEX_LINK,     /* `path` is another name of `target` */
	INDEX_WHITEOUT, /* lower layers' `path` is hidden */
	INDEX_OPAQUE    /* all that lower layers have in the folder `path` is hidden */
};

/* Paths are clean: components between single slashes, none of them "." or ".."; a link's target is what the layer
 * says. Unused fields are 0. */
struct index_entry {
	enum index_kind kind;
	uint32_t mode; /* st_mode, type included */
	uint32_t uid, gid;
	uint32_t major, minor;
	int64_t mtime; /* of links too: missing parents get it */
	uint32_t mtime_ns;
	uint32_t attributes_size;
	uint64_t size; /* of regular files */
	const char *path;
	const char *target;     /* of symbolic links, and of INDEX_LINK; else "" */
	const char *attributes; /* packed, see attribute_next() */
};

/* Writes to the start of the file, which is empty, and borrows the descriptor. */
struct index_writer;
MUST_USE int index_writer_new(struct index_writer **ret, int fd, const char *diff_id, struct annex_error **err);
void index_writer_free(struct index_writer *writer);
static inline void cleanup_index_writer(struct index_writer **writer)
{
	index_writer_free(*writer);
}
#define auto_index_writer CLEANUP(cleanup_index_writer)
MUST_USE int index_put(struct index_writer *writer, const struct index_entry *entry, struct annex_error **err);
/* Of the regular file that was put last; upwards. Neighbours become one. */
MUST_USE int index_put_extent(struct index_writer *writer, const struct blocks_extent *extent,
			      struct annex_error **err);
/* Without this the file is no index. Nothing is synced. */
MUST_USE int index_finish(struct index_writer *writer, struct annex_error **err);

/*
 * Reads an index, whatever the descriptor's position, which stays; borrows it. Nothing in it is believed: entries are
 * within the caps of rootfs.h, extents within `disk_blocks`, the size of the disk, and clear of superblocks. CORRUPT
 * when it is damaged, incomplete or of another layer or version. Whether it is whole is known when the end was reached.
 */
struct index_reader;
MUST_USE int index_reader_new(struct index_reader **ret, int fd, const char *diff_id, uint64_t disk_blocks,
			      struct annex_error **err);
void index_reader_free(struct index_reader *reader);
static inline void cleanup_index_reader(struct index_reader **reader)
{
	index_reader_free(*reader);
}
#define auto_index_reader CLEANUP(cleanup_index_reader)
/* The next entry, valid until the next call; NULL at the end, behind which nothing may be asked for. */
MUST_USE int index_next(const struct index_entry **ret, struct index_reader *reader, struct annex_error **err);
/* The next extent of that entry, valid until any next call; NULL when there are no more. Need not be asked for. */
MUST_USE int index_next_extent(const struct blocks_extent **ret, struct index_reader *reader, struct annex_error **err);
