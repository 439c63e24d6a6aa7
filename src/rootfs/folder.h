#pragma once
#include "rootfs/ext4.h"

/* How many blocks the folder takes at most. */
uint64_t folder_estimate(const struct tree_node *folder);
/* Write the folder's blocks; they become its extents and its size. All nodes must have their numbers. */
MUST_USE int folder_write(struct ext4 *ext4, struct tree_node *folder, struct annex_error **err);
