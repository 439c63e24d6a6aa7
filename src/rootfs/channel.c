/*
 * libext2fs writes an inode's whole block for every inode. Writes that go on where the last one ended, or lie in what
 * is waiting, are gathered in a window and written together.
 *
 * What libext2fs tells of a write that failed is what it wanted to write ("Can't write a block bitmap"); why it could
 * not is kept here.
 */
#include "rootfs/channel.h"

#include "base/file.h"
#include "base/text.h"
#include "rootfs/blocks.h"

#include <stdio.h>
#include <string.h>

enum { WINDOW = 64 };

struct window {
	int fd;
	int failure; /* of the first write that failed, -errno */
	uint64_t first;
	uint32_t count;
	unsigned char bytes[WINDOW * BLOCKS_SIZE];
};

static int write_at(struct window *window, const void *bytes, size_t size, uint64_t at)
{
	int result = file_write_at(window->fd, bytes, size, at);

	if (result < 0 && !window->failure)
		window->failure = result;
	return result;
}

/* What lies behind the file's end is zeros. */
static int read_at(int fd, void *bytes, size_t size, uint64_t at)
{
	char *to = bytes;

	for (size_t done = 0; done < size;) {
		ssize_t n = pread(fd, to + done, size - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) {
			memset(to + done, 0, size - done);
			return 0;
		}
		done += (size_t)n;
	}
	return 0;
}

static int empty(struct window *window)
{
	size_t size = (size_t)window->count * BLOCKS_SIZE;

	window->count = 0;
	return size ? write_at(window, window->bytes, size, window->first * BLOCKS_SIZE) : 0;
}

/* Bytes, of which a negative count is a number. */
static size_t size_of(io_channel channel, int count)
{
	return count < 0 ? (size_t) - (int64_t)count : (size_t)count * (size_t)channel->block_size;
}

static errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void *data)
{
	struct window *window = channel->private_data;
	uint64_t at = block * (uint64_t)channel->block_size, start = window->first * BLOCKS_SIZE;
	uint64_t end = start + (uint64_t)window->count * BLOCKS_SIZE;
	size_t size = size_of(channel, count);
	int result = 0;

	if (at >= start && at + size <= end) {
		memcpy(data, window->bytes + (at - start), size);
		return 0;
	}
	if (at < end && at + size > start)
		result = empty(window);
	return -(result == 0 ? read_at(window->fd, data, size, at) : result);
}

static errcode_t write_blocks(io_channel channel, unsigned long long block, int count, const void *data)
{
	struct window *window = channel->private_data;
	size_t size = size_of(channel, count);
	uint64_t offset;
	int result;

	if (channel->block_size != BLOCKS_SIZE || size % BLOCKS_SIZE != 0 || size > sizeof(window->bytes)) {
		result = empty(window);
		if (result == 0)
			result = write_at(window, data, size, block * (uint64_t)channel->block_size);
		return -result;
	}
	offset = (block - window->first) * BLOCKS_SIZE;
	if (window->count == 0 || block < window->first || block > window->first + window->count ||
	    offset + size > sizeof(window->bytes)) {
		result = empty(window);
		if (result < 0)
			return -result;
		window->first = block;
		offset = 0;
	}
	memcpy(window->bytes + offset, data, size);
	if (offset + size > (uint64_t)window->count * BLOCKS_SIZE)
		window->count = (uint32_t)((offset + size) / BLOCKS_SIZE);
	return 0;
}

static errcode_t read_blocks32(io_channel channel, unsigned long block, int count, void *data)
{
	return read_blocks(channel, block, count, data);
}

static errcode_t write_blocks32(io_channel channel, unsigned long block, int count, const void *data)
{
	return write_blocks(channel, block, count, data);
}

static errcode_t write_bytes(io_channel channel, unsigned long offset, int count, const void *data)
{
	struct window *window = channel->private_data;
	int result = empty(window);

	return -(result == 0 ? write_at(window, data, (size_t)count, offset) : result);
}

static errcode_t zero_blocks(io_channel channel, unsigned long long block, unsigned long long count)
{
	static const unsigned char zeros[BLOCKS_SIZE];
	errcode_t code = 0;

	for (uint64_t i = 0; i < count && !code; i++)
		code = write_blocks(channel, block + i, 1, zeros);
	return code;
}

static errcode_t flush_channel(io_channel channel)
{
	return -channel_flush(channel);
}

static errcode_t set_block_size(io_channel channel, int size)
{
	channel->block_size = size;
	return size == BLOCKS_SIZE || size == SUPERBLOCK_SIZE ? 0 : EXT2_ET_INVALID_ARGUMENT;
}

static errcode_t close_channel(io_channel channel)
{
	int result;

	if (--channel->refcount > 0)
		return 0;
	result = channel_flush(channel);
	free(channel->private_data);
	free(channel->name);
	free(channel);
	return -result;
}

static errcode_t open_channel(const char *name, int flags, io_channel *ret)
{
	struct window *window = calloc(1, sizeof(*window));
	io_channel channel = calloc(1, sizeof(*channel));
	char *copy = strdup(name);
	uint32_t fd = 0;

	(void)flags;
	if (!window || !channel || !copy || text_to_u32(&fd, name, 10) < 0) {
		free(window);
		free(channel);
		free(copy);
		return EXT2_ET_NO_MEMORY;
	}
	window->fd = (int)fd;
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = channel_manager;
	channel->name = copy;
	channel->block_size = SUPERBLOCK_SIZE;
	channel->refcount = 1;
	channel->private_data = window;
	*ret = channel;
	return 0;
}

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "annex",
	.open = open_channel,
	.close = close_channel,
	.set_blksize = set_block_size,
	.read_blk = read_blocks32,
	.write_blk = write_blocks32,
	.flush = flush_channel,
	.write_byte = write_bytes,
	.read_blk64 = read_blocks,
	.write_blk64 = write_blocks,
	.zeroout = zero_blocks,
};
struct struct_io_manager *const channel_manager = &manager;

int channel_flush(io_channel channel)
{
	return empty(channel->private_data);
}

int channel_failure(io_channel channel)
{
	const struct window *window = channel->private_data;

	return window->failure;
}
