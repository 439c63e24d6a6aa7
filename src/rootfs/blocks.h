#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The blocks of the file system that is being made: handed out upwards, written through one large buffer. What the
 * places of superblocks and descriptor tables are is known from the first block on, so that data can be written before
 * the size of the file system is known.
 */
enum {
	BLOCKS_SIZE = 4096,       /* bytes per block */
	BLOCKS_PER_GROUP = 32768, /* what one bitmap block counts */
	BLOCKS_DESCRIPTORS = 256  /* descriptor tables with room to grow: 16,384 groups, 2 TiB */
};

struct blocks;
MUST_USE int blocks_new(struct blocks **ret, int fd); /* borrows the descriptor; -ENOMEM */
void blocks_free(struct blocks *blocks);

/* Does the group start with a superblock and descriptor tables? */
bool blocks_has_super(uint64_t group);
/* The first block that was not handed out. */
uint64_t blocks_next(const struct blocks *blocks);

/* Write up to `count` blocks; how many went to one piece, and where, is told. -errno. */
MUST_USE int blocks_append(struct blocks *blocks, const void *bytes, uint32_t count, uint64_t *ret_first,
			   uint32_t *ret_count);
/* Hand out `count` blocks in one piece without writing: they read as zeros. */
uint64_t blocks_reserve(struct blocks *blocks, uint32_t count);
/* Give back what is not needed any more: the host gets the space back where its file system can do that. */
MUST_USE int blocks_release(struct blocks *blocks, uint64_t first, uint32_t count);
MUST_USE int blocks_flush(struct blocks *blocks);
