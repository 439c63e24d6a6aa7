/*
 * The extents of a file are known in full and in order, so their tree is built from the bottom, every block full but
 * the last of each level: narrower than inserting one by one makes it, and nothing is written twice.
 */
#include "rootfs/extent.h"

#include <assert.h>
#include <endian.h>
#include <ext2fs/ext3_extents.h>
#include <string.h>

enum {
	IN_INODE = 4,
	IN_BLOCK = (BLOCKS_SIZE - (int)sizeof(struct ext3_extent_header)) / (int)sizeof(struct ext3_extent)
};

/* What a level hands to the one above: where its blocks are, and what they start with. */
struct pointer {
	uint64_t block;
	uint32_t logical;
};

static void put_header(void *to, uint32_t entries, uint32_t most, uint32_t depth)
{
	struct ext3_extent_header header = {
		.eh_magic = htole16(EXT3_EXT_MAGIC),
		.eh_entries = htole16((uint16_t)entries),
		.eh_max = htole16((uint16_t)most),
		.eh_depth = htole16((uint16_t)depth),
	};

	memcpy(to, &header, sizeof(header));
}

static void put_leaf(void *to, const struct blocks_extent *extents, uint32_t count, uint32_t most)
{
	struct ext3_extent *at = (struct ext3_extent *)((char *)to + sizeof(struct ext3_extent_header));

	put_header(to, count, most, 0);
	for (uint32_t i = 0; i < count; i++, at++) {
		*at = (struct ext3_extent){
			.ee_block = htole32(extents[i].logical),
			.ee_len = htole16((uint16_t)extents[i].count),
			.ee_start_hi = htole16((uint16_t)(extents[i].physical >> 32)),
			.ee_start = htole32((uint32_t)extents[i].physical),
		};
	}
}

static void put_index(void *to, const struct pointer *pointers, uint32_t count, uint32_t most, uint32_t depth)
{
	struct ext3_extent_idx *at = (struct ext3_extent_idx *)((char *)to + sizeof(struct ext3_extent_header));

	put_header(to, count, most, depth);
	for (uint32_t i = 0; i < count; i++, at++) {
		*at = (struct ext3_extent_idx){
			.ei_block = htole32(pointers[i].logical),
			.ei_leaf = htole32((uint32_t)pointers[i].block),
			.ei_leaf_hi = htole16((uint16_t)(pointers[i].block >> 32)),
		};
	}
}

static int put_tree_block(struct ext4 *ext4, uint32_t number, void *block, struct pointer *ret,
			  struct annex_error **err)
{
	errcode_t code = ext2fs_extent_block_csum_set(ext4->fs, number, block);

	if (code)
		return ext4_fail(err, code, "cannot write a file's extents");
	return ext4_put_block(ext4, block, &ret->block, err);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static int put_leaves(struct ext4 *ext4, const struct tree_node *node, struct pointer *pointers, uint32_t *ret_count,
		      struct annex_error **err)
{
	_Alignas(8) char block[BLOCKS_SIZE];
	uint32_t count = 0;

	for (uint32_t i = 0; i < node->extent_count; i += IN_BLOCK, count++) {
		memset(block, 0, sizeof(block));
		put_leaf(block, node->extents + i, least(node->extent_count - i, IN_BLOCK), IN_BLOCK);
		pointers[count].logical = node->extents[i].logical;
		if (put_tree_block(ext4, node->number, block, &pointers[count], err) < 0)
			return -1;
	}
	*ret_count = count;
	return 0;
}

/* Replace the pointers to one level by those to the level above. */
static int put_level(struct ext4 *ext4, uint32_t number, struct pointer *pointers, uint32_t *count, uint32_t depth,
		     struct annex_error **err)
{
	_Alignas(8) char block[BLOCKS_SIZE];
	uint32_t made = 0;

	for (uint32_t i = 0; i < *count; i += IN_BLOCK, made++) {
		struct pointer above = {.logical = pointers[i].logical};

		memset(block, 0, sizeof(block));
		put_index(block, pointers + i, least(*count - i, IN_BLOCK), IN_BLOCK, depth);
		if (put_tree_block(ext4, number, block, &above, err) < 0)
			return -1;
		pointers[made] = above; /* made <= i: those were used */
	}
	*count = made;
	return 0;
}

int extent_write(struct ext4 *ext4, struct ext2_inode_large *inode, const struct tree_node *node, uint32_t *ret_blocks,
		 struct annex_error **err)
{
	auto_free struct pointer *pointers = NULL;
	uint32_t count = 0, depth = 1;

	inode->i_flags |= EXT4_EXTENTS_FL;
	*ret_blocks = 0;
	if (node->extent_count <= IN_INODE) {
		put_leaf(inode->i_block, node->extents, node->extent_count, IN_INODE);
		return 0;
	}
	pointers = calloc(node->extent_count / IN_BLOCK + 1, sizeof(*pointers));
	if (!pointers)
		return fail_memory(err);
	if (put_leaves(ext4, node, pointers, &count, err) < 0)
		return -1;
	*ret_blocks = count;
	for (; count > IN_INODE; depth++) {
		if (put_level(ext4, node->number, pointers, &count, depth, err) < 0)
			return -1;
		*ret_blocks += count;
	}
	assert(depth <= 5); /* what the kernel reads; 4 * 340^4 extents */
	put_index(inode->i_block, pointers, count, IN_INODE, depth);
	return 0;
}
