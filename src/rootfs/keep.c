/*
 * The file system is written around the contents in the belief that everything else reads as zeros: inode tables and
 * the journal are not cleared. So what layers left that were not finished must go, and so must a file system that was
 * begun.
 */
#include "rootfs/keep.h"

#include "rootfs/index.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

struct range {
	uint64_t first, end;
};

struct ranges {
	struct range *items;
	size_t count, capacity;
};

enum { MOST_RANGES = ROOTFS_METADATA / sizeof(struct range) / 2 };

static int add(struct ranges *ranges, uint64_t first, uint64_t count, struct annex_error **err)
{
	struct range *last = ranges->count ? &ranges->items[ranges->count - 1] : NULL;
	struct range *grown;
	size_t capacity;

	if (last && last->end == first) {
		last->end += count;
		return 0;
	}
	if (ranges->count == ranges->capacity) {
		capacity = ranges->capacity ? ranges->capacity * 2 : 256;
		grown = capacity <= MOST_RANGES ? reallocarray(ranges->items, capacity, sizeof(*grown)) : NULL;
		if (!grown)
			return fail_memory(err);
		ranges->items = grown;
		ranges->capacity = capacity;
	}
	ranges->items[ranges->count++] = (struct range){first, first + count};
	return 0;
}

static int scan(struct ranges *ranges, const struct rootfs_layer *layer, uint64_t disk_blocks, struct annex_error **err)
{
	auto_index_reader struct index_reader *reader = NULL;
	const struct blocks_extent *extent;
	const struct index_entry *entry;

	if (index_reader_new(&reader, layer->index, layer->diff_id, disk_blocks, err) < 0)
		return -1;
	do {
		if (index_next(&entry, reader, err) < 0)
			return -1;
		while (entry) {
			if (index_next_extent(&extent, reader, err) < 0)
				return -1;
			if (!extent)
				break;
			if (add(ranges, extent->physical, extent->count, err) < 0)
				return -1;
		}
	} while (entry);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Holes where the host's file system can make them; zeros are as good. */
static int clear(int disk, uint64_t first, uint64_t end)
{
	static char zeros[64 * BLOCKS_SIZE]; /* not constant, so that it takes no room in the program's file */

	if (fallocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * BLOCKS_SIZE),
		      (off_t)((end - first) * BLOCKS_SIZE)) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	for (uint64_t at = first * BLOCKS_SIZE; at < end * BLOCKS_SIZE;) {
		uint64_t left = end * BLOCKS_SIZE - at;
		ssize_t n = pwrite(disk, zeros, left < sizeof(zeros) ? left : sizeof(zeros), (off_t)at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (uint64_t)n : 0;
	}
	return 0;
}

static uint64_t end_of(const struct ranges *ranges)
{
	uint64_t end = 0;

	for (size_t i = 0; i < ranges->count; i++)
		end = ranges->items[i].end > end ? ranges->items[i].end : end;
	return end;
}

/* All between the ranges, and all behind them. A file that has the right size already is left alone: ext4 would write
 * back at once what gets into one that was truncated, when it is closed. */
static int free_rest(struct blocks *blocks, uint64_t size, struct ranges *ranges, struct annex_error **err)
{
	int disk = blocks_fd(blocks);
	uint64_t at = 0;

	if (ranges->count)
		qsort(ranges->items, ranges->count, sizeof(*ranges->items), compare);
	for (size_t i = 0; i < ranges->count; i++) {
		const struct range *range = &ranges->items[i];
		int result;

		if (range->first > at) {
			result = clear(disk, at, range->first);
			if (result < 0)
				return fail_os(err, result, "cannot write the disk image");
			blocks_add_free(blocks, at, range->first);
		}
		at = range->end > at ? range->end : at;
	}
	if (size != at * BLOCKS_SIZE && ftruncate(disk, (off_t)(at * BLOCKS_SIZE)) < 0)
		return fail_os(err, errno, "cannot write the disk image");
	return 0;
}

static int scan_all(struct ranges *ranges, const struct rootfs_layer *layers, size_t count, uint64_t disk_blocks,
		    struct annex_error **err)
{
	for (size_t i = 0; i < count; i++) {
		if (layers[i].source == ROOTFS_KEEP && scan(ranges, &layers[i], disk_blocks, err) < 0)
			return fail_while(err, "layer %zu of %zu (%.19s)", i + 1, count, layers[i].digest);
	}
	return 0;
}

int keep_layers(struct blocks **ret, int disk, const struct rootfs_layer *layers, size_t count,
		struct annex_error **err)
{
	auto_blocks struct blocks *blocks = NULL;
	struct ranges ranges = {0};
	struct stat st;
	int result;

	if (fstat(disk, &st) < 0)
		return fail_os(err, errno, "cannot read the disk image");
	result = scan_all(&ranges, layers, count, (uint64_t)st.st_size / BLOCKS_SIZE, err);
	if (result == 0 && blocks_new(&blocks, disk, end_of(&ranges)) < 0)
		result = fail_memory(err);
	if (result == 0)
		result = free_rest(blocks, (uint64_t)st.st_size, &ranges, err);
	free(ranges.items);
	if (result == 0)
		*ret = TAKE(blocks);
	return result;
}
