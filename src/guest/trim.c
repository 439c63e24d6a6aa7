/*
 * The disk is mounted with `discard`, so what is deleted is given back at once; but the host keeps space by clusters of
 * 64 KiB, and what was deleted piece by piece never was a whole one. FITRIM finds what has grown together since.
 *
 * Groups of blocks that were never used are left out: the host has nothing for them, and would write down for each of
 * their clusters that it is free, 128 KiB for each GiB.
 *
 * Since space counts as given back when it is deleted, the kernel skips groups that it has trimmed once. It looks again
 * when asked for shorter pieces than the last time: so each call is preceded by one that asks for pieces that no group
 * has.
 */
#include "guest/trim.h"

#include "base/text.h"
#include "guest/disk.h"
#include "guest/mount.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define CLUSTER (64u << 10)

enum { GROUPS_AT_ONCE = 64, DESCRIPTORS_AT_ONCE = 1024 };

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t get16(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8;
}

int trim_parse(struct trim_layout *ret, const uint8_t *superblock, struct annex_error **err)
{
	enum { FIRST = 0x14, PER_GROUP = 0x20, INCOMPATIBLE = 0x60, SIZE = 0xfe, FIRST_META = 0x104 };
	const uint32_t meta_groups = 0x10, wide = 0x80;
	struct trim_layout made = {.descriptor_size = 32};
	uint32_t features = get32(superblock + INCOMPATIBLE);

	if (!disk_parse_superblock(&made.blocks, &made.block_size, superblock))
		return fail(err, ANNEX_ERROR_CORRUPT, "the disk has no ext4 superblock");
	made.first_block = get32(superblock + FIRST);
	made.group_blocks = get32(superblock + PER_GROUP);
	if (features & wide)
		made.descriptor_size = get16(superblock + SIZE);
	if (made.group_blocks == 0 || made.group_blocks > 8 * made.block_size || made.blocks <= made.first_block ||
	    made.descriptor_size < 32 || made.descriptor_size > made.block_size)
		return fail(err, ANNEX_ERROR_CORRUPT, "the disk's superblock makes no sense");
	made.groups = (made.blocks - made.first_block + made.group_blocks - 1) / made.group_blocks;
	made.told = made.groups;
	if (features & meta_groups) {
		uint64_t row = (uint64_t)get32(superblock + FIRST_META) * (made.block_size / made.descriptor_size);

		made.told = row < made.groups ? row : made.groups;
	}
	*ret = made;
	return 0;
}

bool trim_is_unused(const uint8_t *descriptor)
{
	enum { FLAGS = 0x12 };
	const uint32_t block_bitmap_not_set_up = 2;

	return (get16(descriptor + FLAGS) & block_bitmap_not_set_up) != 0;
}

struct trim {
	struct trim_layout layout;
	int root;
	uint64_t first, count; /* groups that wait to be trimmed */
	uint64_t bytes;
};

static int ask_kernel(uint64_t *ret, int root, uint64_t start, uint64_t size, uint64_t least)
{
	struct fstrim_range range = {.start = start, .len = size, .minlen = least};

	if (ioctl(root, FITRIM, &range) < 0)
		return -errno;
	*ret = range.len;
	return 0;
}

static int flush(struct trim *trim, struct annex_error **err)
{
	const struct trim_layout *layout = &trim->layout;
	uint64_t group = (uint64_t)layout->group_blocks * layout->block_size, start = trim->first * group, ignored,
		 n = 0;
	int result;

	if (trim->count == 0)
		return 0;
	result = ask_kernel(&ignored, trim->root, start, group, group);
	if (result == 0)
		result = ask_kernel(&n, trim->root, start, trim->count * group, CLUSTER);
	if (result < 0)
		return fail_os(err, result, "cannot trim the disk");
	trim->bytes += n;
	trim->count = 0;
	return 0;
}

static int add_group(struct trim *trim, uint64_t group, struct annex_error **err)
{
	if (trim->count > 0 && (trim->first + trim->count != group || trim->count == GROUPS_AT_ONCE) &&
	    flush(trim, err) < 0)
		return -1;
	if (trim->count == 0)
		trim->first = group;
	trim->count++;
	return 0;
}

static int walk(struct trim *trim, int device, struct annex_error **err)
{
	const struct trim_layout *layout = &trim->layout;
	size_t size = layout->descriptor_size;
	auto_free uint8_t *descriptors = malloc(size * DESCRIPTORS_AT_ONCE);
	uint64_t table = ((uint64_t)layout->first_block + 1) * layout->block_size;

	if (!descriptors)
		return fail_memory(err);
	for (uint64_t group = 0; group < layout->groups; group++) {
		uint64_t at = group % DESCRIPTORS_AT_ONCE, left = layout->told - group;

		if (group < layout->told && at == 0) {
			size_t count = left < DESCRIPTORS_AT_ONCE ? (size_t)left : DESCRIPTORS_AT_ONCE;

			if (pread(device, descriptors, count * size, (off_t)(table + group * size)) !=
			    (ssize_t)(count * size))
				return fail(err, ANNEX_ERROR_CORRUPT, "the disk's groups can't be read");
		}
		if (group < layout->told && trim_is_unused(descriptors + at * size))
			continue;
		if (add_group(trim, group, err) < 0)
			return -1;
	}
	return flush(trim, err);
}

int trim_disk(uint64_t *ret, struct annex_error **err)
{
	struct trim trim = {.root = open(MOUNT_DISK, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	auto_close int root = trim.root, device = disk_open(err);
	uint8_t superblock[DISK_SUPERBLOCK_SIZE];

	if (device < 0)
		return -1;
	if (root < 0)
		return fail_os(err, errno, "cannot open the disk");
	if (pread(device, superblock, sizeof(superblock), 1024) != (ssize_t)sizeof(superblock))
		return fail(err, ANNEX_ERROR_CORRUPT, "the disk has no ext4 superblock");
	if (trim_parse(&trim.layout, superblock, err) < 0 || walk(&trim, device, err) < 0)
		return -1;
	*ret = trim.bytes;
	return 0;
}
