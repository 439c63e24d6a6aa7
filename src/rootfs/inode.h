#pragma once
#include "rootfs/ext4.h"

struct geometry_need;

/* Give every node its number, in the order in which inodes are written: parents before children, a folder's files side
 * by side; say what has to be written. */
void inode_number_all(struct tree *tree, struct geometry_need *need);
/* Write folders, links, extent trees and inodes, and mark all they use; then the extended attributes. */
MUST_USE int inode_write_all(struct ext4 *ext4, struct annex_error **err);
MUST_USE int inode_write_attributes(struct ext4 *ext4, struct annex_error **err);
