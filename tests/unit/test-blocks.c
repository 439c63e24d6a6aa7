#include "test.h"

#include "rootfs/blocks.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

static void superblocks_lie_in_groups_0_1_and_powers_of_3_5_7(void **state)
{
	static const uint64_t with[] = {0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 343},
			      without[] = {2, 4, 6, 8, 15, 21, 35, 45};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(with); i++)
		assert_true(blocks_has_super(with[i]));
	for (size_t i = 0; i < COUNT_OF(without); i++)
		assert_false(blocks_has_super(without[i]));
}

static void what_is_handed_out_may_hold_data(void **state)
{
	auto_blocks struct blocks *blocks = NULL;
	auto_blocks_writer struct blocks_writer *writer = NULL;
	uint64_t first = 0, last = 0;
	uint32_t count = 0;

	(void)state;
	assert_int_equal(blocks_new(&blocks, -1, 0), 0);
	assert_int_equal(blocks_writer_new(&writer, blocks), 0);
	while (last < 11ULL * BLOCKS_PER_GROUP) {
		assert_int_equal(blocks_take(writer, 777, &first, &count), 0);
		assert_in_range(count, 1, 777);
		assert_true(first >= last);
		assert_true(blocks_are_for_data(first, count));
		last = first + count;
	}
}

static void blocks_end_where_the_limit_is(void **state)
{
	auto_blocks struct blocks *blocks = NULL;
	auto_blocks_writer struct blocks_writer *writer = NULL;
	uint64_t first = 0;
	uint32_t count = 0;

	(void)state;
	assert_int_equal(blocks_new(&blocks, -1, BLOCKS_MOST - 100000), 0);
	assert_int_equal(blocks_writer_new(&writer, blocks), 0);
	for (int result = 0; result == 0;) {
		result = blocks_take(writer, 10000, &first, &count);
		assert_true(result == 0 || result == -EOVERFLOW);
		assert_true(first + count <= BLOCKS_MOST);
	}
}

static void what_a_writer_leaves_is_used_again(void **state)
{
	auto_blocks struct blocks *blocks = NULL;
	struct blocks_writer *a = NULL, *b = NULL;
	uint64_t first = 0, start, after = 0;
	uint32_t count = 0;

	(void)state;
	assert_int_equal(blocks_new(&blocks, -1, 0), 0);
	start = blocks_next(blocks);
	assert_int_equal(blocks_writer_new(&a, blocks), 0);
	assert_int_equal(blocks_take(a, 3, &first, &count), 0);
	blocks_writer_free(a);
	assert_int_equal(blocks_next(blocks), start + 3); /* it was the last run */
	assert_int_equal(blocks_writer_new(&a, blocks), 0);
	assert_int_equal(blocks_writer_new(&b, blocks), 0);
	assert_int_equal(blocks_take(a, 3, &first, &count), 0);
	assert_int_equal(blocks_take(b, 3, &after, &count), 0);
	blocks_writer_free(a);
	assert_int_equal(blocks_writer_new(&a, blocks), 0);
	assert_int_equal(blocks_take(a, 3, &after, &count), 0);
	assert_int_equal(after, first + 3);
	blocks_writer_free(a);
	blocks_writer_free(b);
}

static void gaps_are_used_but_for_places_of_superblocks(void **state)
{
	auto_blocks struct blocks *blocks = NULL;
	auto_blocks_writer struct blocks_writer *writer = NULL;
	uint64_t first = 0, cursor = 4ULL * BLOCKS_PER_GROUP, total = 0;
	uint32_t count = 0;

	(void)state;
	assert_int_equal(blocks_new(&blocks, -1, cursor), 0);
	blocks_add_free(blocks, 0, 2ULL * BLOCKS_PER_GROUP + 10);
	blocks_add_free(blocks, 3ULL * BLOCKS_PER_GROUP - 1000, 3ULL * BLOCKS_PER_GROUP + 200);
	assert_int_equal(blocks_writer_new(&writer, blocks), 0);
	for (;;) {
		assert_int_equal(blocks_take(writer, 500, &first, &count), 0);
		assert_true(blocks_are_for_data(first, count));
		if (first >= cursor)
			break;
		total += count;
	}
	assert_int_equal(total, 2 * (BLOCKS_PER_GROUP - 1 - BLOCKS_DESCRIPTORS) + 1000);
}

struct work {
	struct blocks *blocks;
	unsigned char mark;
	uint64_t places[3000];
};

static void *write_marks(void *data)
{
	struct work *work = data;
	auto_blocks_writer struct blocks_writer *writer = NULL;
	unsigned char block[BLOCKS_SIZE];
	uint32_t count = 0;

	memset(block, work->mark, sizeof(block));
	if (blocks_writer_new(&writer, work->blocks) < 0)
		return work;
	for (size_t i = 0; i < COUNT_OF(work->places); i++) {
		if (blocks_append(writer, block, 1, &work->places[i], &count) < 0 || count != 1)
			return work;
	}
	return blocks_flush(writer) < 0 ? work : NULL;
}

static void writers_of_several_threads_do_not_meet(void **state)
{
	auto_blocks struct blocks *blocks = NULL;
	auto_close int fd = memfd_create("blocks", MFD_CLOEXEC);
	static struct work works[4];
	pthread_t threads[COUNT_OF(works)];
	unsigned char block[BLOCKS_SIZE];
	void *failed = NULL;

	(void)state;
	assert_int_equal(blocks_new(&blocks, fd, 0), 0);
	for (size_t i = 0; i < COUNT_OF(works); i++) {
		works[i] = (struct work){.blocks = blocks, .mark = (unsigned char)(i + 1)};
		assert_int_equal(pthread_create(&threads[i], NULL, write_marks, &works[i]), 0);
	}
	for (size_t i = 0; i < COUNT_OF(works); i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	for (size_t i = 0; i < COUNT_OF(works); i++) {
		for (size_t j = 0; j < COUNT_OF(works[i].places); j++) {
			off_t at = (off_t)(works[i].places[j] * BLOCKS_SIZE);

			assert_int_equal(pread(fd, block, sizeof(block), at), sizeof(block));
			assert_int_equal(block[0], works[i].mark);
			assert_int_equal(block[BLOCKS_SIZE - 1], works[i].mark);
		}
	}
}

static void reserved_blocks_lie_in_one_piece_and_read_as_zeros(void **state)
{
	auto_blocks struct blocks *blocks = NULL;
	uint64_t last = 0;

	(void)state;
	assert_int_equal(blocks_new(&blocks, -1, BLOCKS_PER_GROUP - 100), 0);
	for (int i = 0; i < 20; i++) {
		uint64_t first = blocks_reserve(blocks, 5000);

		assert_true(first >= last);
		assert_true(blocks_are_for_data(first, 5000));
		last = first + 5000;
		assert_int_equal(blocks_next(blocks), last);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(superblocks_lie_in_groups_0_1_and_powers_of_3_5_7),
		cmocka_unit_test(what_is_handed_out_may_hold_data),
		cmocka_unit_test(blocks_end_where_the_limit_is),
		cmocka_unit_test(what_a_writer_leaves_is_used_again),
		cmocka_unit_test(gaps_are_used_but_for_places_of_superblocks),
		cmocka_unit_test(writers_of_several_threads_do_not_meet),
		cmocka_unit_test(reserved_blocks_lie_in_one_piece_and_read_as_zeros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
