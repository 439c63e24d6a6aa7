/*
 * The order of things: file contents are in the file already, at blocks that no superblock copy claims. Now that all
 * sizes are known, libext2fs sets up a file system around them:
 *
 *     superblock, descriptors with room to grow | contents of files | bitmaps, inode tables | folders, links, extent
 *     trees | attributes, resize inode, journal | free
 *
 * flex_bg allows the tables of all groups to lie anywhere. Up to the attributes, blocks are handed out by the cursor of
 * rootfs/blocks.h and marked in the bitmap at once; from then on by libext2fs from the bitmap, so the order must stay.
 * What libext2fs places goes behind the cursor too, see write_rest(). What lies behind the cursor is a hole and reads
 * as zeros: inode tables and the journal need no clearing and take no space.
 *
 * Descriptor blocks and those reserved for growth are BLOCKS_DESCRIPTORS together, whatever the size, because contents
 * are placed before it is known. They let the kernel grow the mounted file system to 2 TiB; beyond, it goes on with
 * meta_bg.
 */
#include "rootfs/ext4.h"

#include "rootfs/channel.h"
#include "rootfs/geometry.h"
#include "rootfs/inode.h"

#include <et/com_err.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum {
	FLEX_LOG = 4 /* 16 groups */
};

int ext4_fail(struct annex_error **err, errcode_t code, const char *what)
{
	if (code == EXT2_ET_NO_MEMORY)
		return fail_memory(err);
	if (code > 0 && code < 4096)
		return fail_os(err, (int)code, "%s", what);
	initialize_ext2_error_table();
	return fail(err, ANNEX_ERROR_SYSTEM, "%s: %s", what, error_message(code));
}

int ext4_put_block(struct ext4 *ext4, const void *block, uint64_t *ret_physical, struct annex_error **err)
{
	uint32_t count = 0;
	int result = blocks_append(ext4->writer, block, 1, ret_physical, &count);

	if (result < 0)
		return fail_os(err, result, "cannot write the disk image");
	if (*ret_physical >= ext2fs_blocks_count(ext4->fs->super))
		return fail(err, ANNEX_ERROR_SYSTEM, "the disk image was made too small");
	ext2fs_block_alloc_stats_range(ext4->fs, *ret_physical, 1, +1);
	return 0;
}

static void describe(struct ext2_super_block *super, const struct geometry *geometry)
{
	uint32_t per_block = BLOCKS_SIZE / EXT2_MIN_DESC_SIZE_64BIT;

	super->s_rev_level = EXT2_DYNAMIC_REV;
	super->s_log_block_size = 2; /* 1024 << 2 */
	super->s_log_cluster_size = 2;
	super->s_inode_size = GEOMETRY_INODE_SIZE;
	super->s_desc_size = EXT2_MIN_DESC_SIZE_64BIT;
	super->s_log_groups_per_flex = FLEX_LOG;
	super->s_max_mnt_count = (uint16_t)-1;
	super->s_inodes_count = geometry->groups * geometry->inodes_per_group;
	super->s_reserved_gdt_blocks = (uint16_t)(BLOCKS_DESCRIPTORS - (geometry->groups + per_block - 1) / per_block);
	ext2fs_blocks_count_set(super, (uint64_t)geometry->groups * BLOCKS_PER_GROUP);
	super->s_feature_compat =
		EXT2_FEATURE_COMPAT_DIR_INDEX | EXT2_FEATURE_COMPAT_RESIZE_INODE | EXT2_FEATURE_COMPAT_EXT_ATTR;
	super->s_feature_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
				    EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG;
	super->s_feature_ro_compat = EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
				     EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
				     EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE | EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
}

static int identify(ext2_filsys fs, struct annex_error **err)
{
	struct ext2_super_block *super = fs->super;

	if (getrandom(super->s_uuid, sizeof(super->s_uuid), 0) != (ssize_t)sizeof(super->s_uuid) ||
	    getrandom(super->s_hash_seed, sizeof(super->s_hash_seed), 0) != (ssize_t)sizeof(super->s_hash_seed))
		return fail_os(err, errno, "cannot get random bytes");
	super->s_uuid[6] = (super->s_uuid[6] & 0x0f) | 0x40;
	super->s_uuid[8] = (super->s_uuid[8] & 0x3f) | 0x80;
	super->s_def_hash_version = EXT2_HASH_HALF_MD4;
	super->s_flags = (super->s_flags & ~(uint32_t)EXT2_FLAGS_SIGNED_HASH) | EXT2_FLAGS_UNSIGNED_HASH;
	super->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
	super->s_checkinterval = 0;
	super->s_checksum_type = EXT2_CRC32C_CHKSUM;
	memcpy(super->s_volume_name, "annex-root", sizeof("annex-root"));
	ext2fs_init_csum_seed(fs);
	return 0;
}

static uint64_t take(struct ext4 *ext4, uint32_t count)
{
	uint64_t first = blocks_reserve(ext4->blocks, count);

	ext2fs_block_alloc_stats_range(ext4->fs, first, count, +1);
	return first;
}

/* Bitmaps and inode tables of all groups, and the inodes below the first ordinary one. */
static int place_tables(struct ext4 *ext4, struct annex_error **err)
{
	ext2_filsys fs = ext4->fs;
	errcode_t code;

	for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
		ext2fs_block_bitmap_loc_set(fs, group, take(ext4, 1));
		ext2fs_inode_bitmap_loc_set(fs, group, take(ext4, 1));
	}
	for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
		ext2fs_inode_table_loc_set(fs, group, take(ext4, fs->inode_blocks_per_group));
		ext2fs_bg_flags_set(fs, group, EXT2_BG_INODE_ZEROED);
	}
	if (blocks_next(ext4->blocks) > ext2fs_blocks_count(fs->super))
		return fail(err, ANNEX_ERROR_SYSTEM, "the disk image was made too small");
	for (ext2_ino_t i = EXT2_BAD_INO; i < EXT2_FIRST_INODE(fs->super); i++)
		ext2fs_inode_alloc_stats2(fs, i, +1, i == EXT2_ROOT_INO);
	code = ext2fs_update_bb_inode(fs, NULL);
	return code ? ext4_fail(err, code, "cannot set up the file system") : 0;
}

/* Blocks in use, 32768 at most; the rest of the last byte is clear. */
static errcode_t count_used(ext2_filsys fs, uint64_t first, size_t count, uint32_t *ret)
{
	uint64_t words[BLOCKS_PER_GROUP / 64] = {0};
	errcode_t code = ext2fs_get_block_bitmap_range2(fs->block_map, first, count, words);

	*ret = 0;
	for (size_t i = 0; i < COUNT_OF(words); i++)
		*ret += (uint32_t)__builtin_popcountll(words[i]);
	return code;
}

/* Free counts of groups and of the whole, from the bitmaps. */
static errcode_t count_free(ext2_filsys fs)
{
	uint64_t total = 0;

	for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
		blk64_t first = ext2fs_group_first_block2(fs, group), last = ext2fs_group_last_block2(fs, group);
		uint32_t used = 0;
		errcode_t code = count_used(fs, first, (size_t)(last - first + 1), &used);

		if (code)
			return code;
		ext2fs_bg_free_blocks_count_set(fs, group, (uint32_t)(last - first + 1) - used);
		ext2fs_group_desc_csum_set(fs, group);
		total += last - first + 1 - used;
	}
	ext2fs_free_blocks_count_set(fs->super, total);
	ext2fs_mark_super_dirty(fs);
	return 0;
}

static int add_special(struct ext4 *ext4, struct annex_error **err)
{
	errcode_t code = ext2fs_create_resize_inode(ext4->fs);

	if (!code)
		code = ext2fs_add_journal_inode2(ext4->fs, GEOMETRY_JOURNAL, blocks_next(ext4->blocks),
						 EXT2_MKJOURNAL_LAZYINIT | EXT2_MKJOURNAL_NO_MNT_CHECK);
	return code ? ext4_fail(err, code, "cannot set up the journal") : 0;
}

static int finish(struct ext4 *ext4, struct annex_error **err)
{
	errcode_t code = count_free(ext4->fs);

	if (!code)
		code = ext2fs_flush2(ext4->fs, EXT2_FLAG_FLUSH_NO_SYNC);
	if (!code) /* closing would hide late errors, or leak */
		code = -channel_flush(ext4->fs->io);
	return code ? ext4_fail(err, code, "cannot write the disk image") : 0;
}

/* Make all below the cursor look used; *ret_saved is how it was. */
static errcode_t hide_free(struct ext4 *ext4, ext2fs_block_bitmap *ret_saved)
{
	errcode_t code = ext2fs_copy_bitmap(ext4->fs->block_map, ret_saved);

	for (uint64_t at = 0; !code && at < blocks_next(ext4->blocks); at += BLOCKS_PER_GROUP) {
		uint64_t left = blocks_next(ext4->blocks) - at;

		ext2fs_mark_block_bitmap_range2(ext4->fs->block_map, at,
						left < BLOCKS_PER_GROUP ? (unsigned)left : BLOCKS_PER_GROUP);
	}
	return code;
}

static errcode_t show_free(struct ext4 *ext4, ext2fs_block_bitmap saved)
{
	unsigned char bits[BLOCKS_PER_GROUP / 8];
	errcode_t code = 0;

	for (uint64_t at = 0; !code && at < blocks_next(ext4->blocks); at += BLOCKS_PER_GROUP) {
		uint64_t left = blocks_next(ext4->blocks) - at;
		size_t count = left < BLOCKS_PER_GROUP ? (size_t)left : BLOCKS_PER_GROUP;

		code = ext2fs_get_block_bitmap_range2(saved, at, count, bits);
		ext2fs_unmark_block_bitmap_range2(ext4->fs->block_map, at, (unsigned)count); /* setting only adds */
		if (!code)
			code = ext2fs_set_block_bitmap_range2(ext4->fs->block_map, at, count, bits);
	}
	return code;
}

/* What libext2fs places by itself. Free blocks below the cursor may hold contents that no file of this image has any
 * more, but that a layer's index refers to: nothing may be put there. */
static int write_rest(struct ext4 *ext4, struct annex_error **err)
{
	ext2fs_block_bitmap saved = NULL;
	errcode_t code = hide_free(ext4, &saved);
	int result = 0;

	if (!code)
		result = inode_write_attributes(ext4, err);
	if (!code && result == 0)
		result = add_special(ext4, err);
	if (!code && result == 0)
		code = show_free(ext4, saved);
	if (saved)
		ext2fs_free_block_bitmap(saved);
	return code ? ext4_fail(err, code, "cannot set up the file system") : result;
}

static int write_all(struct ext4 *ext4, struct annex_error **err)
{
	int result;

	if (blocks_writer_new(&ext4->writer, ext4->blocks) < 0)
		return fail_memory(err);
	if (identify(ext4->fs, err) < 0 || place_tables(ext4, err) < 0 || inode_write_all(ext4, err) < 0)
		return -1;
	result = blocks_flush(ext4->writer);
	if (result < 0)
		return fail_os(err, result, "cannot write the disk image");
	blocks_writer_free(TAKE(ext4->writer)); /* so that the cursor is where blocks end */
	return write_rest(ext4, err) < 0 ? -1 : finish(ext4, err);
}

/* e2fsck wants a place for what it finds without a name. */
static int add_lost_found(struct tree *tree, struct annex_error **err)
{
	struct tree_node *root = tree_root(tree), *made = NULL;

	if (tree_find(root, "lost+found"))
		return 0;
	if (tree_make(&made, tree, S_IFDIR | 0700, err) < 0)
		return -1;
	made->mtime = root->mtime;
	if (tree_put(tree, root, "lost+found", made, err) < 0) {
		tree_discard(tree, made);
		return -1;
	}
	return 0;
}

/* libext2fs has only words of its own for a write that failed, if it tells at all. */
static int write_or_tell(struct ext4 *ext4, struct annex_error **err)
{
	auto_error struct annex_error *why = NULL;
	int result = write_all(ext4, &why), failure = channel_failure(ext4->fs->io);

	if (failure < 0)
		return fail_os(err, failure, "cannot write the disk image");
	if (err)
		*err = TAKE(why);
	return result;
}

int ext4_write(struct tree *tree, struct blocks *blocks, uint64_t *ret_size, struct annex_error **err)
{
	struct ext4 ext4 = {.tree = tree, .blocks = blocks};
	struct geometry_need need = {.first_free = blocks_next(blocks)};
	struct ext2_super_block super = {0};
	struct geometry geometry;
	errcode_t code;
	char name[16];
	int result;

	if (add_lost_found(tree, err) < 0)
		return -1;
	inode_number_all(tree, &need);
	geometry = geometry_for(&need);
	describe(&super, &geometry);
	if (ftruncate(blocks_fd(blocks), (off_t)ext2fs_blocks_count(&super) * BLOCKS_SIZE) < 0)
		return fail_os(err, errno, "cannot write the disk image");
	snprintf(name, sizeof(name), "%d", blocks_fd(blocks));
	code = ext2fs_initialize(name, EXT2_FLAG_64BITS, &super, channel_manager, &ext4.fs);
	if (code)
		return ext4_fail(err, code, "cannot set up the file system");
	result = write_or_tell(&ext4, err);
	blocks_writer_free(ext4.writer);
	if (ext4.fs)
		ext2fs_free(ext4.fs);
	if (result == 0)
		*ret_size = ext2fs_blocks_count(&super) * BLOCKS_SIZE;
	return result;
}
