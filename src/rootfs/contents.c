/*
 * Whole blocks go from the decoder's buffer to the block writer; only what straddles two buffers is put together in
 * `partial`, which always starts at a multiple of the block size.
 */
#include "rootfs/contents.h"

#include <string.h>

static const unsigned char zeros[BLOCKS_SIZE];

static bool is_zero(const unsigned char *block)
{
	return block[0] == 0 && memcmp(block, zeros, BLOCKS_SIZE) == 0;
}

/* How many blocks from here on are, or are not, all zeros? */
static uint32_t run_length(const unsigned char *at, uint32_t count, bool zero)
{
	uint32_t run = 1;

	while (run < count && is_zero(at + (size_t)run * BLOCKS_SIZE) == zero)
		run++;
	return run;
}

int contents_fail(int result, struct annex_error **err)
{
	if (result == -EOVERFLOW)
		return fail(err, ANNEX_ERROR_CORRUPT, "the image holds more than %u GiB",
			    (unsigned)(ROOTFS_DATA >> 30));
	return fail_os(err, result, "cannot write the disk image");
}

static int put_run(struct contents *contents, const unsigned char *at, uint32_t logical, uint32_t count,
		   struct annex_error **err)
{
	while (count > 0) {
		struct blocks_extent extent = {.logical = logical};
		int result = blocks_append(contents->blocks, at, count, &extent.physical, &extent.count);

		if (result < 0)
			return contents_fail(result, err);
		if (index_put_extent(contents->index, &extent, err) < 0)
			return -1;
		at += (size_t)extent.count * BLOCKS_SIZE;
		logical += extent.count;
		count -= extent.count;
	}
	return 0;
}

static int put_blocks(struct contents *contents, const unsigned char *at, uint64_t position, uint32_t count,
		      struct annex_error **err)
{
	uint32_t logical = (uint32_t)(position / BLOCKS_SIZE);

	while (count > 0) {
		bool zero = is_zero(at);
		uint32_t run = run_length(at, count, zero);

		if (!zero && put_run(contents, at, logical, run, err) < 0)
			return -1;
		at += (size_t)run * BLOCKS_SIZE;
		logical += run;
		count -= run;
	}
	return 0;
}

/* Fill up what was begun with zeros and put it. */
static int finish_partial(struct contents *contents, struct annex_error **err)
{
	uint64_t start = contents->position - contents->partial_size;

	if (contents->partial_size == 0)
		return 0;
	memset(contents->partial + contents->partial_size, 0, BLOCKS_SIZE - contents->partial_size);
	contents->position = start + BLOCKS_SIZE;
	contents->partial_size = 0;
	return put_blocks(contents, contents->partial, start, 1, err);
}

static int skip_to(struct contents *contents, uint64_t offset, struct annex_error **err)
{
	uint64_t block_end = contents->position - contents->partial_size + BLOCKS_SIZE;
	uint32_t within;

	if (contents->partial_size && offset >= block_end && finish_partial(contents, err) < 0)
		return -1;
	within = (uint32_t)(offset % BLOCKS_SIZE);
	if (within > contents->partial_size)
		memset(contents->partial + contents->partial_size, 0, within - contents->partial_size);
	contents->partial_size = within;
	contents->position = offset;
	return 0;
}

int contents_write(struct contents *contents, uint64_t offset, const void *bytes, size_t size, struct annex_error **err)
{
	const unsigned char *at = bytes;

	if (size == 0)
		return 0;
	if (offset < contents->position || offset > ROOTFS_FILE || size > ROOTFS_FILE - offset)
		return fail(err, ANNEX_ERROR_CORRUPT, "the pieces of its contents are out of order or too large");
	if (offset > contents->position && skip_to(contents, offset, err) < 0)
		return -1;
	while (size > 0) {
		uint32_t room = BLOCKS_SIZE - contents->partial_size;
		size_t take;

		if (room == BLOCKS_SIZE && size >= BLOCKS_SIZE) {
			take = size - size % BLOCKS_SIZE;
			if (put_blocks(contents, at, contents->position, (uint32_t)(take / BLOCKS_SIZE), err) < 0)
				return -1;
		} else {
			take = size < room ? size : room;
			memcpy(contents->partial + contents->partial_size, at, take);
			contents->partial_size += (uint32_t)take;
		}
		contents->position += take;
		at += take;
		size -= take;
		if (contents->partial_size == BLOCKS_SIZE && finish_partial(contents, err) < 0)
			return -1;
	}
	return 0;
}

int contents_finish(struct contents *contents, uint64_t size, struct annex_error **err)
{
	if (contents->position > size || size > ROOTFS_FILE)
		return fail(err, ANNEX_ERROR_CORRUPT, "its contents and its size don't agree, or it is too large");
	return finish_partial(contents, err);
}
