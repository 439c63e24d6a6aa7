#pragma once
#include "rootfs/rootfs.h"

#include <stdbool.h>

/*
 * The blocks of the file system that is being made. One cursor hands them out upwards, in runs, to the writers of all
 * threads. What the places of superblocks and descriptor tables are is known from the first block on, so that data can
 * be written before the size of the file system is known.
 */
enum {
	BLOCKS_SIZE = 4096,           /* bytes per block */
	BLOCKS_PER_GROUP = 32768,     /* what one bitmap block counts */
	BLOCKS_DESCRIPTORS = 256,     /* descriptor tables with room to grow: 16,384 groups, 2 TiB */
	BLOCKS_LONGEST_EXTENT = 32768 /* blocks: what ext4 can say */
};
#define BLOCKS_MOST (ROOTFS_DATA / BLOCKS_SIZE) /* that are handed out for contents */

/* Blocks of a file that follow each other on the disk too. */
struct blocks_extent {
	uint64_t physical; /* block of the image file */
	uint32_t logical;  /* block of the file's contents */
	uint32_t count;
};

struct blocks;
/* Borrows the descriptor. Blocks below `first` are not handed out. -ENOMEM. */
MUST_USE int blocks_new(struct blocks **ret, int fd, uint64_t first);
void blocks_free(struct blocks *blocks); /* after all its writers */
static inline void cleanup_blocks(struct blocks **blocks)
{
	blocks_free(*blocks);
}
#define auto_blocks CLEANUP(cleanup_blocks)

/* Does the group start with a superblock and descriptor tables? */
bool blocks_has_super(uint64_t group);
/* May they hold contents: are they clear of such places, and below BLOCKS_MOST and a bit? */
bool blocks_are_for_data(uint64_t first, uint32_t count);
int blocks_fd(const struct blocks *blocks);
/* These blocks, below the cursor, may be handed out too, as far as they may hold contents; a few are not worth it. */
void blocks_add_free(struct blocks *blocks, uint64_t first, uint64_t end);
/* The cursor: nothing at or above it was handed out, and all of that is holes. */
uint64_t blocks_next(struct blocks *blocks);
/* Hand out `count` blocks in one piece without writing: they read as zeros. */
uint64_t blocks_reserve(struct blocks *blocks, uint32_t count);

/* One thread's way to blocks: has a run of them and a buffer. */
struct blocks_writer;
MUST_USE int blocks_writer_new(struct blocks_writer **ret, struct blocks *blocks); /* -ENOMEM */
/* Gives back what is left of the run; what was not flushed is lost. */
void blocks_writer_free(struct blocks_writer *writer);
static inline void cleanup_blocks_writer(struct blocks_writer **writer)
{
	blocks_writer_free(*writer);
}
#define auto_blocks_writer CLEANUP(cleanup_blocks_writer)

/* Write up to `count` blocks; how many went to one piece, and where, is told. -errno; -EOVERFLOW past BLOCKS_MOST. */
MUST_USE int blocks_append(struct blocks_writer *writer, const void *bytes, uint32_t count, uint64_t *ret_first,
			   uint32_t *ret_count);
/* The same without writing: the caller does. */
MUST_USE int blocks_take(struct blocks_writer *writer, uint32_t count, uint64_t *ret_first, uint32_t *ret_count);
MUST_USE int blocks_flush(struct blocks_writer *writer);
