/*
 * Folders form a list in breadth-first order, made when numbers are given. Walking that list and each folder's names
 * meets the nodes in the order of their numbers; a node with a smaller number than expected is another name of one met
 * before.
 */
#include "rootfs/inode.h"

#include "rootfs/attribute.h"
#include "rootfs/extent.h"
#include "rootfs/folder.h"
#include "rootfs/geometry.h"

#include <string.h>
#include <sys/stat.h>

enum {
	FAST_TARGET = 60,           /* a link's target below this length lies in the inode */
	MOST_SUBFOLDERS = 65000 - 2 /* beyond, a folder's link count is 1 */
};

/* ext4 has 34 bits of seconds, from 1901 on. */
static const int64_t time_least = INT32_MIN, time_most = ((INT64_C(1) << 34) + INT32_MIN) - 1;

static void add_need(struct geometry_need *need, const struct tree_node *node)
{
	need->inodes++;
	if (node->attributes)
		need->metadata++;
	if (node->folder)
		need->metadata += folder_estimate(node);
	else if (node->target)
		need->metadata += node->size >= FAST_TARGET;
	else if (node->extent_count > 4)
		need->metadata += node->extent_count / 300 + 2;
}

void inode_number_all(struct tree *tree, struct geometry_need *need)
{
	uint32_t next = EXT2_GOOD_OLD_FIRST_INO;
	struct tree_node *folder = tree_root(tree), *last = folder;

	folder->number = EXT2_ROOT_INO;
	add_need(need, folder);
	for (; folder; folder = folder->folder->next) {
		for (struct tree_name *name = folder->folder->first; name; name = name->next) {
			struct tree_node *node = name->node;

			if (node->number)
				continue;
			node->number = next++;
			add_need(need, node);
			if (node->folder)
				last = last->folder->next = node;
		}
	}
}

/* Call for every node once, in the order of numbers. */
static int for_each(struct ext4 *ext4, int (*each)(struct ext4 *, struct tree_node *, struct annex_error **),
		    struct annex_error **err)
{
	uint32_t next = EXT2_GOOD_OLD_FIRST_INO;
	struct tree_node *folder = tree_root(ext4->tree);

	if (each(ext4, folder, err) < 0)
		return -1;
	for (; folder; folder = folder->folder->next) {
		for (struct tree_name *name = folder->folder->first; name; name = name->next) {
			if (name->node->number != next)
				continue;
			next++;
			if (each(ext4, name->node, err) < 0)
				return fail_while(err, "%s", name->text);
		}
	}
	return 0;
}

static uint16_t link_count(const struct tree_node *node)
{
	uint32_t folders = 0;

	if (!node->folder)
		return (uint16_t)node->names;
	for (const struct tree_name *name = node->folder->first; name; name = name->next)
		folders += name->node->folder != NULL;
	return folders > MOST_SUBFOLDERS ? 1 : (uint16_t)(folders + 2);
}

static void put_times(struct ext2_inode_large *inode, const struct tree_node *node)
{
	int64_t time = node->mtime < time_least ? time_least : node->mtime > time_most ? time_most : node->mtime;
	uint32_t low = (uint32_t)time;
	uint32_t extra = (uint32_t)((time - (int32_t)low) >> 32) & EXT4_EPOCH_MASK;

	if (time == node->mtime)
		extra |= node->mtime_ns << EXT4_EPOCH_BITS;
	inode->i_mtime = inode->i_atime = inode->i_ctime = inode->i_crtime = low;
	inode->i_mtime_extra = inode->i_atime_extra = inode->i_ctime_extra = inode->i_crtime_extra = extra;
}

static void put_device(struct ext2_inode_large *inode, const struct tree_node *node)
{
	if (node->major < 256 && node->minor < 256)
		inode->i_block[0] = node->major << 8 | node->minor;
	else
		inode->i_block[1] = (node->minor & 0xff) | node->major << 8 | (node->minor & ~0xffu) << 12;
}

/* A short target lies in the inode, a long one in a block. */
static int put_target(struct ext4 *ext4, struct ext2_inode_large *inode, struct tree_node *node, uint32_t *blocks,
		      struct annex_error **err)
{
	char block[BLOCKS_SIZE] = {0};
	uint64_t physical = 0;

	if (node->size < FAST_TARGET) {
		memcpy(inode->i_block, node->target, node->size);
		return 0;
	}
	memcpy(block, node->target, node->size);
	if (ext4_put_block(ext4, block, &physical, err) < 0 ||
	    tree_add_extent(ext4->tree, node, 0, physical, 1, err) < 0)
		return -1;
	return extent_write(ext4, inode, node, blocks, err);
}

/* Where the contents are, by the kind of node; *blocks: those of the extent tree. */
static int put_contents(struct ext4 *ext4, struct ext2_inode_large *inode, struct tree_node *node, uint32_t *blocks,
			struct annex_error **err)
{
	switch (node->mode & S_IFMT) {
	case S_IFDIR:
		if (folder_write(ext4, node, err) < 0)
			return -1;
		if (node->size > BLOCKS_SIZE)
			inode->i_flags |= EXT2_INDEX_FL;
		return extent_write(ext4, inode, node, blocks, err);
	case S_IFREG:
		for (uint32_t i = 0; i < node->extent_count; i++)
			ext2fs_block_alloc_stats_range(ext4->fs, node->extents[i].physical, node->extents[i].count, +1);
		return extent_write(ext4, inode, node, blocks, err);
	case S_IFLNK:
		return put_target(ext4, inode, node, blocks, err);
	case S_IFCHR:
	case S_IFBLK:
		put_device(inode, node);
		return 0;
	default:
		return 0;
	}
}

static int write_inode(struct ext4 *ext4, struct tree_node *node, struct annex_error **err)
{
	_Alignas(8) char space[GEOMETRY_INODE_SIZE] = {0};
	struct ext2_inode_large *inode = (struct ext2_inode_large *)(void *)space;
	uint32_t tree_blocks = 0;
	uint64_t blocks;
	errcode_t code;

	inode->i_mode = (uint16_t)node->mode;
	inode->i_uid = (uint16_t)node->uid;
	inode->i_gid = (uint16_t)node->gid;
	inode->i_uid_high = (uint16_t)(node->uid >> 16);
	inode->i_gid_high = (uint16_t)(node->gid >> 16);
	inode->i_links_count = link_count(node);
	inode->i_extra_isize = sizeof(*inode) - EXT2_GOOD_OLD_INODE_SIZE;
	put_times(inode, node);
	if (put_contents(ext4, inode, node, &tree_blocks, err) < 0)
		return -1;
	inode->i_size = (uint32_t)node->size;
	inode->i_size_high = (uint32_t)(node->size >> 32);
	blocks = tree_blocks;
	for (uint32_t i = 0; i < node->extent_count; i++)
		blocks += node->extents[i].count;
	code = ext2fs_iblk_set(ext4->fs, ext2fs_inode(inode), blocks);
	if (!code)
		code = ext2fs_write_inode_full(ext4->fs, node->number, ext2fs_inode(inode), sizeof(space));
	if (code)
		return ext4_fail(err, code, "cannot write an inode");
	if (node->number != EXT2_ROOT_INO)
		ext2fs_inode_alloc_stats2(ext4->fs, node->number, +1, node->folder != NULL);
	return 0;
}

int inode_write_all(struct ext4 *ext4, struct annex_error **err)
{
	return for_each(ext4, write_inode, err);
}

static int write_attributes(struct ext4 *ext4, struct tree_node *node, struct annex_error **err)
{
	struct ext2_xattr_handle *handle = NULL;
	struct attribute attribute;
	uint32_t at = 0;
	errcode_t code, closed;

	if (!node->attributes)
		return 0;
	code = ext2fs_xattrs_open(ext4->fs, node->number, &handle);
	if (code)
		return ext4_fail(err, code, "cannot write extended attributes");
	code = ext2fs_xattrs_read(handle);
	while (!code && attribute_next(&attribute, &at, node->attributes, node->attributes_size))
		code = ext2fs_xattr_set(handle, attribute.name, attribute.value, attribute.size);
	closed = ext2fs_xattrs_close(&handle);
	if (code == EXT2_ET_EA_NO_SPACE || closed == EXT2_ET_EA_NO_SPACE)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "more extended attributes than ext4 can hold");
	if (code || closed)
		return ext4_fail(err, code ? code : closed, "cannot write extended attributes");
	return 0;
}

int inode_write_attributes(struct ext4 *ext4, struct annex_error **err)
{
	return for_each(ext4, write_attributes, err);
}
