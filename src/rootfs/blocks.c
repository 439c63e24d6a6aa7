/*
 * One upward cursor over the image file. Blocks that follow each other in the buffer follow each other in the file, so
 * every write() is a large sequential one. Places of superblock copies (groups 0, 1 and the powers of 3, 5 and 7) with
 * their descriptor tables are stepped over. Freed blocks are punched out, never handed out again: what lies at and
 * above the cursor is therefore always a hole.
 */
#include "rootfs/blocks.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

enum { BUFFER_BLOCKS = 512 };

struct blocks {
	int fd;
	uint64_t next;   /* first free block */
	uint64_t at;     /* where the buffer's first block belongs */
	uint32_t filled; /* blocks in the buffer */
	unsigned char *buffer;
};

static bool is_power(uint64_t value, uint64_t base)
{
	while (value % base == 0)
		value /= base;
	return value == 1;
}

bool blocks_has_super(uint64_t group)
{
	return group <= 1 || is_power(group, 3) || is_power(group, 5) || is_power(group, 7);
}

/* Step over a superblock's place; give how many blocks are free in one piece from there. */
static uint32_t settle(struct blocks *blocks)
{
	uint64_t group = blocks->next / BLOCKS_PER_GROUP, offset = blocks->next % BLOCKS_PER_GROUP;

	if (offset <= BLOCKS_DESCRIPTORS && blocks_has_super(group)) {
		blocks->next = group * BLOCKS_PER_GROUP + 1 + BLOCKS_DESCRIPTORS;
		offset = 1 + BLOCKS_DESCRIPTORS;
	}
	return (uint32_t)(BLOCKS_PER_GROUP - offset);
}

int blocks_new(struct blocks **ret, int fd)
{
	struct blocks *blocks = calloc(1, sizeof(*blocks));

	if (!blocks)
		return -ENOMEM;
	*blocks = (struct blocks){.fd = fd, .buffer = malloc((size_t)BUFFER_BLOCKS * BLOCKS_SIZE)};
	if (!blocks->buffer) {
		blocks_free(blocks);
		return -ENOMEM;
	}
	settle(blocks);
	*ret = blocks;
	return 0;
}

void blocks_free(struct blocks *blocks)
{
	if (!blocks)
		return;
	free(blocks->buffer);
	free(blocks);
}

uint64_t blocks_next(const struct blocks *blocks)
{
	return blocks->next;
}

int blocks_flush(struct blocks *blocks)
{
	size_t size = (size_t)blocks->filled * BLOCKS_SIZE, done = 0;
	off_t at = (off_t)(blocks->at * BLOCKS_SIZE);

	while (done < size) {
		ssize_t n = pwrite(blocks->fd, blocks->buffer + done, size - done, at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	blocks->filled = 0;
	return 0;
}

int blocks_append(struct blocks *blocks, const void *bytes, uint32_t count, uint64_t *ret_first, uint32_t *ret_count)
{
	uint32_t room = settle(blocks);
	int result;

	if (blocks->filled == BUFFER_BLOCKS || (blocks->filled && blocks->at + blocks->filled != blocks->next)) {
		result = blocks_flush(blocks);
		if (result < 0)
			return result;
	}
	if (blocks->filled == 0)
		blocks->at = blocks->next;
	if (room > BUFFER_BLOCKS - blocks->filled)
		room = BUFFER_BLOCKS - blocks->filled;
	if (count > room)
		count = room;
	memcpy(blocks->buffer + (size_t)blocks->filled * BLOCKS_SIZE, bytes, (size_t)count * BLOCKS_SIZE);
	*ret_first = blocks->next;
	*ret_count = count;
	blocks->filled += count;
	blocks->next += count;
	return 0;
}

uint64_t blocks_reserve(struct blocks *blocks, uint32_t count)
{
	uint64_t first;

	assert(count <= BLOCKS_PER_GROUP - 1 - BLOCKS_DESCRIPTORS);
	if (settle(blocks) < count && blocks_has_super(blocks->next / BLOCKS_PER_GROUP + 1)) {
		blocks->next = (blocks->next / BLOCKS_PER_GROUP + 1) * BLOCKS_PER_GROUP;
		settle(blocks);
	}
	first = blocks->next;
	blocks->next += count;
	return first;
}

int blocks_release(struct blocks *blocks, uint64_t first, uint32_t count)
{
	int result;

	if (blocks->filled && first < blocks->at + blocks->filled && first + count > blocks->at) {
		result = blocks_flush(blocks);
		if (result < 0)
			return result;
	}
	if (fallocate(blocks->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * BLOCKS_SIZE),
		      (off_t)count * BLOCKS_SIZE) < 0 &&
	    errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return 0;
}
