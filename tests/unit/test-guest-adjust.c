/* What the agent reads to change the virtual machine while it runs. */
#include "test.h"

#include "guest/adjust.h"
#include "guest/processor.h"
#include "guest/trim.h"

#include <string.h>

static void processors_are_listed_by_ranges(void **state)
{
	struct processor_set set;

	(void)state;
	assert_true(processor_parse(&set, "0-3,5\n"));
	assert_int_equal(set.count, 5);
	assert_true(set.has[0] && set.has[3] && set.has[5]);
	assert_false(set.has[4]);
	assert_true(processor_parse(&set, "0\n"));
	assert_int_equal(set.count, 1);
	assert_true(processor_parse(&set, "\n"));
	assert_int_equal(set.count, 0);
}

static void what_is_no_list_of_processors_is_refused(void **state)
{
	static const char *const lists[] = {"a", "1-", "-1", "3-1", "0,", "1024", "0-1024", "0 1", "1--2"};
	struct processor_set set;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lists); i++)
		assert_false(processor_parse(&set, lists[i]));
}

static void a_machine_is_idle_while_its_load_is_small(void **state)
{
	(void)state;
	assert_true(adjusts_is_idle("0.00 0.00 0.00 1/70 233\n"));
	assert_true(adjusts_is_idle("0.29 4.00 4.00 1/70 233\n"));
	assert_false(adjusts_is_idle("0.30 0.00 0.00 1/70 233\n"));
	assert_false(adjusts_is_idle("10.00 0.00 0.00 1/70 233\n"));
	assert_false(adjusts_is_idle(""));
}

static void available_memory_is_read_in_bytes(void **state)
{
	(void)state;
	assert_int_equal(adjusts_available("MemTotal:  500 kB\nMemFree: 1 kB\nMemAvailable:     300 kB\n"), 300 << 10);
	assert_int_equal(adjusts_available("MemTotal:  500 kB\n"), 0);
	assert_int_equal(adjusts_available("MemTotal: 5 kB\nMemAvailable: x kB\n"), 0);
}

static void put32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* 10 GiB in groups of 128 MiB, 64-byte descriptors. */
static void make_superblock(uint8_t superblock[1024])
{
	memset(superblock, 0, 1024);
	put32(superblock + 0x04, 10 * 262144);
	put32(superblock + 0x18, 2);
	put32(superblock + 0x20, 32768);
	superblock[0x38] = 0x53;
	superblock[0x39] = 0xef;
	put32(superblock + 0x60, 0x80);
	superblock[0xfe] = 64;
}

static void the_groups_of_a_disk_are_counted(void **state)
{
	uint8_t superblock[1024];
	struct trim_layout layout;

	(void)state;
	make_superblock(superblock);
	assert_int_equal(trim_parse(&layout, superblock, NULL), 0);
	assert_int_equal(layout.block_size, 4096);
	assert_int_equal(layout.descriptor_size, 64);
	assert_int_equal(layout.groups, 80);
	assert_int_equal(layout.told, 80);
	put32(superblock + 0x60, 0); /* without 64bit: short descriptors */
	assert_int_equal(trim_parse(&layout, superblock, NULL), 0);
	assert_int_equal(layout.descriptor_size, 32);
}

static void groups_whose_descriptors_lie_elsewhere_count_as_used(void **state)
{
	uint8_t superblock[1024];
	struct trim_layout layout;

	(void)state;
	make_superblock(superblock);
	put32(superblock + 0x60, 0x90);
	put32(superblock + 0x104, 1);
	assert_int_equal(trim_parse(&layout, superblock, NULL), 0);
	assert_int_equal(layout.groups, 80);
	assert_int_equal(layout.told, 64);
}

static void a_superblock_that_makes_no_sense_is_refused(void **state)
{
	uint8_t superblock[1024];
	struct trim_layout layout;

	(void)state;
	memset(superblock, 0, sizeof(superblock));
	assert_int_equal(trim_parse(&layout, superblock, NULL), -1);
	make_superblock(superblock);
	put32(superblock + 0x20, 0);
	assert_int_equal(trim_parse(&layout, superblock, NULL), -1);
	make_superblock(superblock);
	superblock[0xfe] = 8;
	assert_int_equal(trim_parse(&layout, superblock, NULL), -1);
	make_superblock(superblock);
	put32(superblock + 0x04, 0);
	assert_int_equal(trim_parse(&layout, superblock, NULL), -1);
}

static void a_group_that_was_never_used_says_so(void **state)
{
	uint8_t descriptor[32] = {0};

	(void)state;
	assert_false(trim_is_unused(descriptor));
	descriptor[0x12] = 5; /* inodes not set up, their table zeroed */
	assert_false(trim_is_unused(descriptor));
	descriptor[0x12] = 7;
	assert_true(trim_is_unused(descriptor));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processors_are_listed_by_ranges),
		cmocka_unit_test(what_is_no_list_of_processors_is_refused),
		cmocka_unit_test(a_machine_is_idle_while_its_load_is_small),
		cmocka_unit_test(available_memory_is_read_in_bytes),
		cmocka_unit_test(the_groups_of_a_disk_are_counted),
		cmocka_unit_test(groups_whose_descriptors_lie_elsewhere_count_as_used),
		cmocka_unit_test(a_superblock_that_makes_no_sense_is_refused),
		cmocka_unit_test(a_group_that_was_never_used_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
