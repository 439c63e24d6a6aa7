/*
 * One upward cursor over the image file, under a mutex. Writers take runs from it, so that each writes large sequential
 * pieces while others do the same elsewhere; a writer that is alone gets runs that follow each other. Places of
 * superblock copies (groups 0, 1 and the powers of 3, 5 and 7) with their descriptor tables are stepped over.
 *
 * The host is told to write each full buffer to its disk at once: that goes on beside the decoding, on all processors,
 * and leaves little for the fsync at the end.
 *
 * What a writer leaves of its run goes back to the cursor if it was the last one, else into a list that the next writer
 * takes from first: many small layers must not take a run each. So do the gaps that layers of an interrupted build
 * left. What is still in the list at the end are free blocks of the file system. Blocks are never handed out twice, so
 * what lies at and above the cursor is always a hole.
 */
#include "rootfs/blocks.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

enum {
	RUN_BLOCKS = 1024,
	BUFFER_BLOCKS = 256,
	LEAST_FREE = 256,                  /* blocks that are worth handing out again */
	MOST_SLACK = 64 * BLOCKS_PER_GROUP /* what places of superblocks add to BLOCKS_MOST, and more */
};

struct run {
	uint64_t next, end;
};

struct blocks {
	int fd;
	pthread_mutex_t mutex;
	uint64_t next; /* first free block */
	struct run *left;
	size_t left_count, left_capacity;
};

struct blocks_writer {
	struct blocks *blocks;
	struct run run;
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

static bool is_super_place(uint64_t block)
{
	return block % BLOCKS_PER_GROUP <= BLOCKS_DESCRIPTORS && blocks_has_super(block / BLOCKS_PER_GROUP);
}

bool blocks_are_for_data(uint64_t first, uint32_t count)
{
	uint64_t group = (first + count - 1) / BLOCKS_PER_GROUP;

	if (count == 0 || count > BLOCKS_LONGEST_EXTENT || first > BLOCKS_MOST + MOST_SLACK || is_super_place(first))
		return false;
	return group == first / BLOCKS_PER_GROUP || !blocks_has_super(group);
}

/* Step over a superblock's place; give how many blocks are free in one piece from there. */
static uint32_t settle(struct blocks *blocks)
{
	uint64_t group = blocks->next / BLOCKS_PER_GROUP, offset = blocks->next % BLOCKS_PER_GROUP;

	if (is_super_place(blocks->next)) {
		blocks->next = group * BLOCKS_PER_GROUP + 1 + BLOCKS_DESCRIPTORS;
		offset = 1 + BLOCKS_DESCRIPTORS;
	}
	return (uint32_t)(BLOCKS_PER_GROUP - offset);
}

int blocks_new(struct blocks **ret, int fd, uint64_t first)
{
	struct blocks *blocks = calloc(1, sizeof(*blocks));

	if (!blocks)
		return -ENOMEM;
	pthread_mutex_init(&blocks->mutex, NULL);
	blocks->fd = fd;
	blocks->next = first;
	settle(blocks);
	*ret = blocks;
	return 0;
}

void blocks_free(struct blocks *blocks)
{
	if (!blocks)
		return;
	pthread_mutex_destroy(&blocks->mutex);
	free(blocks->left);
	free(blocks);
}

int blocks_fd(const struct blocks *blocks)
{
	return blocks->fd;
}

uint64_t blocks_next(struct blocks *blocks)
{
	uint64_t next;

	pthread_mutex_lock(&blocks->mutex);
	next = blocks->next;
	pthread_mutex_unlock(&blocks->mutex);
	return next;
}

uint64_t blocks_reserve(struct blocks *blocks, uint32_t count)
{
	uint64_t first;

	assert(count <= BLOCKS_PER_GROUP - 1 - BLOCKS_DESCRIPTORS);
	pthread_mutex_lock(&blocks->mutex);
	if (settle(blocks) < count && blocks_has_super(blocks->next / BLOCKS_PER_GROUP + 1)) {
		blocks->next = (blocks->next / BLOCKS_PER_GROUP + 1) * BLOCKS_PER_GROUP;
		settle(blocks);
	}
	first = blocks->next;
	blocks->next += count;
	pthread_mutex_unlock(&blocks->mutex);
	return first;
}

static int take_run(struct run *ret, struct blocks *blocks)
{
	uint32_t room;
	int result = 0;

	pthread_mutex_lock(&blocks->mutex);
	if (blocks->left_count > 0) {
		*ret = blocks->left[--blocks->left_count];
	} else {
		room = settle(blocks);
		room = room < RUN_BLOCKS ? room : RUN_BLOCKS;
		if (blocks->next + room > BLOCKS_MOST)
			result = -EOVERFLOW;
		else
			*ret = (struct run){blocks->next, blocks->next + room};
		blocks->next += result == 0 ? room : 0;
	}
	pthread_mutex_unlock(&blocks->mutex);
	return result;
}

/* For later; without memory they stay unused. The mutex is held. */
static void keep_run(struct blocks *blocks, const struct run *run)
{
	size_t capacity = blocks->left_capacity ? blocks->left_capacity * 2 : 16;
	struct run *grown;

	if (blocks->left_count == blocks->left_capacity) {
		grown = reallocarray(blocks->left, capacity, sizeof(*grown));
		if (!grown)
			return;
		blocks->left = grown;
		blocks->left_capacity = capacity;
	}
	blocks->left[blocks->left_count++] = *run;
}

void blocks_add_free(struct blocks *blocks, uint64_t first, uint64_t end)
{
	pthread_mutex_lock(&blocks->mutex);
	assert(end <= blocks->next);
	while (first < end) {
		uint64_t next_group = (first / BLOCKS_PER_GROUP + 1) * BLOCKS_PER_GROUP;
		struct run run = {first, end < next_group ? end : next_group};

		if (is_super_place(first))
			run.next += BLOCKS_DESCRIPTORS + 1 - first % BLOCKS_PER_GROUP;
		if (run.next + LEAST_FREE <= run.end)
			keep_run(blocks, &run);
		first = run.end;
	}
	pthread_mutex_unlock(&blocks->mutex);
}

static void give_back(struct blocks *blocks, const struct run *run)
{
	if (run->next == run->end)
		return;
	pthread_mutex_lock(&blocks->mutex);
	if (run->end == blocks->next)
		blocks->next = run->next;
	else
		keep_run(blocks, run);
	pthread_mutex_unlock(&blocks->mutex);
}

int blocks_writer_new(struct blocks_writer **ret, struct blocks *blocks)
{
	struct blocks_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return -ENOMEM;
	writer->blocks = blocks;
	writer->buffer = malloc((size_t)BUFFER_BLOCKS * BLOCKS_SIZE);
	if (!writer->buffer) {
		blocks_writer_free(writer);
		return -ENOMEM;
	}
	*ret = writer;
	return 0;
}

void blocks_writer_free(struct blocks_writer *writer)
{
	if (!writer)
		return;
	give_back(writer->blocks, &writer->run);
	free(writer->buffer);
	free(writer);
}

int blocks_flush(struct blocks_writer *writer)
{
	size_t size = (size_t)writer->filled * BLOCKS_SIZE, done = 0;
	off_t at = (off_t)(writer->at * BLOCKS_SIZE);

	while (done < size) {
		ssize_t n = pwrite(writer->blocks->fd, writer->buffer + done, size - done, at + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	if (writer->filled == BUFFER_BLOCKS) /* only a hint */
		sync_file_range(writer->blocks->fd, at, (off_t)size, SYNC_FILE_RANGE_WRITE);
	writer->filled = 0;
	return 0;
}

int blocks_take(struct blocks_writer *writer, uint32_t count, uint64_t *ret_first, uint32_t *ret_count)
{
	struct run *run = &writer->run;
	int result = run->next == run->end ? take_run(run, writer->blocks) : 0;

	if (result < 0)
		return result;
	*ret_first = run->next;
	*ret_count = count < run->end - run->next ? count : (uint32_t)(run->end - run->next);
	run->next += *ret_count;
	return 0;
}

int blocks_append(struct blocks_writer *writer, const void *bytes, uint32_t count, uint64_t *ret_first,
		  uint32_t *ret_count)
{
	uint32_t room = BUFFER_BLOCKS - writer->filled;
	int result;

	result = blocks_take(writer, count < room ? count : room, ret_first, ret_count);
	if (result < 0)
		return result;
	if (writer->filled && writer->at + writer->filled != *ret_first)
		result = blocks_flush(writer);
	if (result < 0)
		return result;
	if (writer->filled == 0)
		writer->at = *ret_first;
	memcpy(writer->buffer + (size_t)writer->filled * BLOCKS_SIZE, bytes, (size_t)*ret_count * BLOCKS_SIZE);
	writer->filled += *ret_count;
	return writer->filled == BUFFER_BLOCKS ? blocks_flush(writer) : 0;
}
