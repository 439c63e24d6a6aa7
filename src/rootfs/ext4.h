#pragma once
#include "rootfs/blocks.h"
#include "rootfs/tree.h"

#include <ext2fs/ext2fs.h>

/* The file system that is being written: what the writers of its parts share. */
struct ext4 {
	ext2_filsys fs;
	struct tree *tree;
	struct blocks *blocks;
	struct blocks_writer *writer;
};

/* Turn libext2fs's code into an error that starts with `what`. */
int ext4_fail(struct annex_error **err, errcode_t code, const char *what);
/* Put one block of metadata and mark it used. */
MUST_USE int ext4_put_block(struct ext4 *ext4, const void *block, uint64_t *ret_physical, struct annex_error **err);

/* Make a file system around the blocks that were written already: the tree, inodes, bitmaps, journal. *ret_size: its
 * size in bytes. Nothing is synced. */
MUST_USE int ext4_write(struct tree *tree, struct blocks *blocks, uint64_t *ret_size, struct annex_error **err);
