#include "test.h"

#include "rootfs/blocks.h"
#include "rootfs/geometry.h"

static uint64_t size_of(const struct geometry *geometry)
{
	return (uint64_t)geometry->groups * BLOCKS_PER_GROUP * BLOCKS_SIZE;
}

static void superblocks_are_in_groups_0_1_and_powers_of_3_5_and_7(void **state)
{
	static const uint64_t with[] = {0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343},
			      without[] = {2, 4, 6, 8, 15, 21, 35, 63};

	(void)state;
	for (size_t i = 0; i < sizeof(with) / sizeof(*with); i++)
		assert_true(blocks_has_super(with[i]));
	for (size_t i = 0; i < sizeof(without) / sizeof(*without); i++)
		assert_false(blocks_has_super(without[i]));
}

static void a_small_image_makes_a_small_disk(void **state)
{
	struct geometry made = geometry_for(&(struct geometry_need){.first_free = 2000, .metadata = 10, .inodes = 500});

	(void)state;
	assert_in_range(size_of(&made), (256u << 20) + 1, 512u << 20);
	assert_int_equal(made.inodes_per_group, GEOMETRY_INODES);
}

static void content_journal_tables_and_slack_fit(void **state)
{
	(void)state;
	for (uint64_t first = 257; first < 20000000; first = first * 3 / 2) {
		struct geometry_need need = {
			.first_free = first, .metadata = first / 50, .inodes = (uint32_t)(first / 4)};
		struct geometry made = geometry_for(&need);
		uint64_t used = first + need.metadata + GEOMETRY_JOURNAL + GEOMETRY_SLACK +
				(uint64_t)made.groups * (geometry_table(&made) + 2);

		assert_true((uint64_t)made.groups * BLOCKS_PER_GROUP >= used);
		assert_true((uint64_t)made.groups * made.inodes_per_group > need.inodes);
		assert_true(made.groups <= used / BLOCKS_PER_GROUP * 5 / 4 + 3);
	}
}

static void many_files_get_more_groups_first_and_larger_tables_then(void **state)
{
	struct geometry some = geometry_for(&(struct geometry_need){.first_free = 2000, .inodes = 200000});
	struct geometry lots = geometry_for(&(struct geometry_need){.first_free = 2000, .inodes = 5000000});

	(void)state;
	assert_int_equal(some.inodes_per_group, GEOMETRY_INODES);
	assert_in_range(some.groups, 25, 35);
	assert_int_equal(lots.inodes_per_group, GEOMETRY_MOST_INODES);
	assert_true((uint64_t)lots.groups * lots.inodes_per_group > 5000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(superblocks_are_in_groups_0_1_and_powers_of_3_5_and_7),
		cmocka_unit_test(a_small_image_makes_a_small_disk),
		cmocka_unit_test(content_journal_tables_and_slack_fit),
		cmocka_unit_test(many_files_get_more_groups_first_and_larger_tables_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
