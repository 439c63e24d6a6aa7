/*
 * A folder that fits into one block is a plain list. A larger one gets the hash tree that the kernel would make when it
 * grows: block 0 is the root (it poses as "." and ".."), then index blocks if the root is too small, then leaves, each
 * a plain list of names that are neighbours by hash. If the names of one hash go on in the next leaf, its key's lowest
 * bit is set.
 */
#include "rootfs/folder.h"

#include "rootfs/rootfs.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	TAIL = sizeof(struct ext2_dir_entry_tail),
	ROOM = BLOCKS_SIZE - TAIL, /* for names */
	ENTRY_HEADER = 8,
	DOT_SIZE = 12,
	ROOT_INDEX = 32, /* where the root's keys start */
	NODE_INDEX = 8,
	INDEX_ENTRY = 8,
	ROOT_LIMIT = (BLOCKS_SIZE - ROOT_INDEX - (int)sizeof(struct ext2_dx_tail)) / INDEX_ENTRY,
	NODE_LIMIT = (BLOCKS_SIZE - NODE_INDEX - (int)sizeof(struct ext2_dx_tail)) / INDEX_ENTRY
};

struct entry {
	const char *text;
	uint32_t number;
	uint32_t hash, minor;
	uint16_t length;
	uint8_t type;
};

/* A run of sorted entries that shares a block, and its key. */
struct leaf {
	uint32_t first, count;
	uint32_t key;
};

static uint32_t entry_size(size_t length)
{
	return (ENTRY_HEADER + (uint32_t)length + 3) & ~3u;
}

static uint8_t type_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return EXT2_FT_REG_FILE;
	case S_IFDIR:
		return EXT2_FT_DIR;
	case S_IFCHR:
		return EXT2_FT_CHRDEV;
	case S_IFBLK:
		return EXT2_FT_BLKDEV;
	case S_IFIFO:
		return EXT2_FT_FIFO;
	case S_IFLNK:
		return EXT2_FT_SYMLINK;
	default:
		return EXT2_FT_UNKNOWN;
	}
}

static uint64_t list_size(const struct tree_node *folder)
{
	uint64_t size = DOT_SIZE + DOT_SIZE;

	for (const struct tree_name *name = folder->folder->first; name; name = name->next)
		size += entry_size(strlen(name->text));
	return size;
}

uint64_t folder_estimate(const struct tree_node *folder)
{
	uint64_t size = list_size(folder), leaves;

	if (size <= ROOM)
		return 1;
	leaves = size / (ROOM - ENTRY_HEADER - ROOTFS_NAME) + 1;
	return 1 + leaves + leaves / NODE_LIMIT + 1 + leaves / 300; /* the last: for its extents */
}

static void put_u16(char *at, uint32_t value)
{
	uint16_t le = htole16((uint16_t)value);

	memcpy(at, &le, sizeof(le));
}

static void put_u32(char *at, uint32_t value)
{
	uint32_t le = htole32(value);

	memcpy(at, &le, sizeof(le));
}

static void put_entry(char *at, const struct entry *entry, uint32_t size)
{
	put_u32(at, entry->number);
	put_u16(at + 4, size);
	at[6] = (char)entry->length;
	at[7] = (char)entry->type;
	memcpy(at + ENTRY_HEADER, entry->text, entry->length);
}

/* One block as a list; the last entry takes the room that is left. */
static void put_list(char block[BLOCKS_SIZE], const struct entry *entries, uint32_t count)
{
	char *at = block, *end = block + ROOM;

	memset(block, 0, BLOCKS_SIZE);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t size = i + 1 < count ? entry_size(entries[i].length) : (uint32_t)(end - at);

		put_entry(at, &entries[i], size);
		at += size;
	}
	assert(count > 0 && at == end);
	put_u16(end + 4, TAIL);
	put_u16(end + 6, EXT2_DIR_NAME_LEN_CSUM);
}

static int put_block(struct ext4 *ext4, struct tree_node *folder, char *block, struct annex_error **err)
{
	errcode_t code = ext2fs_dir_block_csum_set(ext4->fs, folder->number, (struct ext2_dir_entry *)(void *)block);
	uint64_t physical = 0;

	if (code)
		return ext4_fail(err, code, "cannot write a folder");
	if (ext4_put_block(ext4, block, &physical, err) < 0 ||
	    tree_add_extent(ext4->tree, folder, (uint32_t)(folder->size / BLOCKS_SIZE), physical, 1, err) < 0)
		return -1;
	folder->size += BLOCKS_SIZE;
	return 0;
}

static struct entry dot(const struct tree_node *folder)
{
	return (struct entry){.text = ".", .length = 1, .number = folder->number, .type = EXT2_FT_DIR};
}

static struct entry dot_dot(const struct tree_node *folder)
{
	return (struct entry){.text = "..", .length = 2, .number = folder->folder->parent->number, .type = EXT2_FT_DIR};
}

static uint32_t collect(struct entry *to, const struct tree_node *folder)
{
	uint32_t count = 0;

	for (const struct tree_name *name = folder->folder->first; name; name = name->next) {
		to[count++] = (struct entry){.text = name->text,
					     .length = (uint16_t)strlen(name->text),
					     .number = name->node->number,
					     .type = type_of(name->node->mode)};
	}
	return count;
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->minor < y->minor ? -1 : x->minor > y->minor;
}

static int sort_by_hash(struct ext4 *ext4, struct entry *entries, uint32_t count, struct annex_error **err)
{
	for (uint32_t i = 0; i < count; i++) {
		errcode_t code = ext2fs_dirhash(EXT2_HASH_HALF_MD4_UNSIGNED, entries[i].text, entries[i].length,
						ext4->fs->super->s_hash_seed, &entries[i].hash, &entries[i].minor);

		if (code)
			return ext4_fail(err, code, "cannot hash the names of a folder");
	}
	qsort(entries, count, sizeof(*entries), compare);
	return 0;
}

static uint32_t split(struct leaf *leaves, const struct entry *entries, uint32_t count)
{
	uint32_t made = 0, used = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t size = entry_size(entries[i].length);

		if (i == 0 || used + size > ROOM) {
			leaves[made++] = (struct leaf){i, 0, i ? entries[i].hash : 0};
			if (i && entries[i].hash == entries[i - 1].hash)
				leaves[made - 1].key |= 1;
			used = 0;
		}
		leaves[made - 1].count++;
		used += size;
	}
	return made;
}

/* Keys of an index block: the count takes the place of the first one. `at` is where they start; `step` leaves lie
 * below each key; `logical` is the block of the first. */
static void put_keys(char *at, uint32_t limit, const struct leaf *leaves, uint32_t leaf_count, uint32_t step,
		     uint32_t logical)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < leaf_count; i += step, count++) {
		put_u32(at + (size_t)count * INDEX_ENTRY, leaves[i].key);
		put_u32(at + (size_t)count * INDEX_ENTRY + 4, logical + count);
	}
	put_u16(at, limit);
	put_u16(at + 2, count);
}

static int put_root(struct ext4 *ext4, struct tree_node *folder, const struct leaf *leaves, uint32_t leaf_count,
		    uint32_t nodes, struct annex_error **err)
{
	_Alignas(8) char block[BLOCKS_SIZE] = {0};
	struct entry first = dot(folder), second = dot_dot(folder);

	put_entry(block, &first, DOT_SIZE);
	put_entry(block + DOT_SIZE, &second, BLOCKS_SIZE - DOT_SIZE);
	block[28] = EXT2_HASH_HALF_MD4;
	block[29] = sizeof(struct ext2_dx_root_info);
	block[30] = nodes > 0;
	put_keys(block + ROOT_INDEX, ROOT_LIMIT, leaves, leaf_count, nodes ? NODE_LIMIT : 1, 1);
	return put_block(ext4, folder, block, err);
}

static int put_node(struct ext4 *ext4, struct tree_node *folder, const struct leaf *leaves, uint32_t leaf_count,
		    uint32_t logical, struct annex_error **err)
{
	_Alignas(8) char block[BLOCKS_SIZE] = {0};

	put_u16(block + 4, BLOCKS_SIZE);
	put_keys(block + NODE_INDEX, NODE_LIMIT, leaves, leaf_count, 1, logical);
	return put_block(ext4, folder, block, err);
}

static int put_tree(struct ext4 *ext4, struct tree_node *folder, const struct entry *entries, const struct leaf *leaves,
		    uint32_t leaf_count, struct annex_error **err)
{
	_Alignas(8) char block[BLOCKS_SIZE];
	uint32_t nodes = leaf_count > ROOT_LIMIT ? (leaf_count + NODE_LIMIT - 1) / NODE_LIMIT : 0;

	if (nodes > ROOT_LIMIT)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "a folder has more names than ext4 can index");
	if (put_root(ext4, folder, leaves, leaf_count, nodes, err) < 0)
		return -1;
	for (uint32_t i = 0; i < nodes; i++) {
		uint32_t first = i * NODE_LIMIT, left = leaf_count - first;

		if (put_node(ext4, folder, leaves + first, left < NODE_LIMIT ? left : NODE_LIMIT, 1 + nodes + first,
			     err) < 0)
			return -1;
	}
	for (uint32_t i = 0; i < leaf_count; i++) {
		put_list(block, entries + leaves[i].first, leaves[i].count);
		if (put_block(ext4, folder, block, err) < 0)
			return -1;
	}
	return 0;
}

int folder_write(struct ext4 *ext4, struct tree_node *folder, struct annex_error **err)
{
	auto_free struct entry *entries = NULL;
	auto_free struct leaf *leaves = NULL;
	_Alignas(8) char block[BLOCKS_SIZE];
	uint32_t count = 2;

	for (const struct tree_name *name = folder->folder->first; name; name = name->next)
		count++;
	entries = calloc(count, sizeof(*entries));
	if (!entries)
		return fail_memory(err);
	folder->size = 0;
	if (list_size(folder) <= ROOM) {
		entries[0] = dot(folder);
		entries[1] = dot_dot(folder);
		count = 2 + collect(entries + 2, folder);
		put_list(block, entries, count);
		return put_block(ext4, folder, block, err);
	}
	count = collect(entries, folder);
	leaves = calloc(count, sizeof(*leaves));
	if (!leaves)
		return fail_memory(err);
	if (sort_by_hash(ext4, entries, count, err) < 0)
		return -1;
	return put_tree(ext4, folder, entries, leaves, split(leaves, entries, count), err);
}
