#pragma once
#include "rootfs/ext4.h"

/* Put the node's extents into its inode, with a tree of blocks where they don't fit; *ret_blocks: how many those are.
 */
MUST_USE int extent_write(struct ext4 *ext4, struct ext2_inode_large *inode, const struct tree_node *node,
			  uint32_t *ret_blocks, struct annex_error **err);
