#include "test.h"

#include "share/memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>

#define MIB (1u << 20)

static int file_of(size_t size)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* A memory with two regions that touch in the guest, and a third one far away. */
static struct memory *three_regions(int fd)
{
	static const struct memory_region regions[] = {
		{.guest_address = 0x40000000, .size = MIB, .user_address = 0x7000000000, .offset = 2 * MIB},
		{.guest_address = 0, .size = MIB, .user_address = 0x7f0000000000, .offset = 0},
		{.guest_address = MIB, .size = MIB, .user_address = 0x7e0000000000, .offset = MIB},
	};
	struct memory *memory;

	assert_int_equal(memory_new(&memory, NULL), 0);
	for (unsigned i = 0; i < COUNT_OF(regions); i++) {
		struct memory *more;

		assert_int_equal(memory_with(&more, memory, &regions[i], fd, NULL), 0);
		memory_unref(memory);
		memory = more;
	}
	return memory;
}

static void both_addresses_lead_to_the_same_byte(void **state)
{
	auto_close int fd = file_of(3 * MIB);
	auto_memory struct memory *memory = three_regions(fd);
	char *guest = memory_at_guest(memory, 0x40000010, 4), *user = memory_at_user(memory, 0x7000000010, 4);
	char byte = 0;

	(void)state;
	assert_non_null(guest);
	assert_ptr_equal(guest, user);
	*guest = 'x';
	assert_int_equal(pread(fd, &byte, 1, 2 * MIB + 0x10), 1);
	assert_int_equal(byte, 'x');
}

static void what_is_not_wholly_inside_a_region_is_nowhere(void **state)
{
	auto_close int fd = file_of(3 * MIB);
	auto_memory struct memory *memory = three_regions(fd);
	static const struct {
		uint64_t address, size;
		bool inside;
	} rows[] = {
		{0, MIB, true},         {0, MIB + 1, false},    {MIB - 1, 1, true},
		{MIB - 1, 2, false},    {2 * MIB - 1, 1, true}, {2 * MIB, 1, false},
		{0x3fffffff, 1, false}, {0x40000000, 1, true},  {0x40000000 + MIB, 1, false},
		{8, UINT64_MAX, false}, {UINT64_MAX, 2, false}, {UINT64_MAX - 3, UINT64_MAX, false},
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(memory_at_guest(memory, rows[i].address, rows[i].size) != NULL, rows[i].inside);
	assert_null(memory_at_user(memory, 0x7000000000 + MIB - 3, 4));
	assert_null(memory_at_user(memory, 0x7000000000 - 1, 1));
	assert_null(memory_at_user(memory, 0x7000000001, UINT64_MAX));
	assert_non_null(memory_at_user(memory, 0x7000000000 + MIB - 4, 4));
}

static void a_range_over_two_regions_comes_in_parts(void **state)
{
	auto_close int fd = file_of(3 * MIB);
	auto_memory struct memory *memory = three_regions(fd);
	size_t part = 0;

	(void)state;
	assert_non_null(memory_part(&part, memory, MIB - 10, 100));
	assert_int_equal(part, 10);
	assert_ptr_equal(memory_part(&part, memory, MIB, 90), memory_at_user(memory, 0x7e0000000000, 1));
	assert_int_equal(part, 90);
	assert_null(memory_part(&part, memory, 2 * MIB, 1));
}

static void an_older_memory_keeps_what_a_newer_one_has_not(void **state)
{
	auto_close int fd = file_of(3 * MIB);
	auto_memory struct memory *old = three_regions(fd);
	auto_memory struct memory *less = NULL, *none = NULL;
	struct memory_region region = {.guest_address = MIB, .size = MIB, .user_address = 0x7e0000000000};
	char *byte = memory_at_guest(old, MIB, 1);

	(void)state;
	assert_int_equal(memory_without(&less, old, &region, NULL), 0);
	assert_null(memory_at_guest(less, MIB, 1));
	assert_ptr_equal(memory_at_guest(less, 0x40000000, 1), memory_at_guest(old, 0x40000000, 1));
	*byte = 1;
	memory_unref(memory_ref(old));
	*byte = 2;
	assert_int_equal(memory_without(&none, less, &region, NULL), -1);
	region.size = MIB / 2;
	assert_int_equal(memory_without(&none, old, &region, NULL), -1);
}

static void regions_that_make_no_sense_are_refused(void **state)
{
	auto_close int fd = file_of(3 * MIB), null = open("/dev/zero", O_RDWR | O_CLOEXEC);
	auto_memory struct memory *memory = three_regions(fd);
	static const struct memory_region rows[] = {
		{.guest_address = 0x80000000, .size = 0},
		{.guest_address = 0x80000000, .size = 3 * MIB + 1}, /* the file is shorter */
		{.guest_address = 0x80000000, .size = MIB, .offset = 2 * MIB + 4096},
		{.guest_address = 0x80000000, .size = MIB, .offset = UINT64_MAX - 4096},
		{.guest_address = UINT64_MAX - 4096, .size = MIB},
		{.guest_address = 0x80000000, .size = MIB, .user_address = UINT64_MAX - 4096},
		{.guest_address = 0x80000000, .size = UINT64_MAX},
		{.guest_address = MIB / 2, .size = MIB}, /* overlap */
		{.guest_address = 0x3ffff000, .size = MIB},
		{.guest_address = 0x40000000, .size = MIB},
	};
	static const struct memory_region good = {.guest_address = 0x80000000, .size = MIB};
	struct memory *made = NULL;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		auto_error struct annex_error *err = NULL;

		assert_int_equal(memory_with(&made, memory, &rows[i], fd, &err), -1);
		assert_non_null(err);
	}
	assert_int_equal(memory_with(&made, memory, &good, null, NULL), -1);
	assert_int_equal(memory_with(&made, memory, &good, -EBADF, NULL), -1);
	assert_null(made);
}

static void there_is_a_cap_on_regions(void **state)
{
	auto_close int fd = file_of(MIB);
	struct memory *memory, *more;

	(void)state;
	assert_int_equal(memory_new(&memory, NULL), 0);
	for (unsigned i = 0; i < MEMORY_REGION_LIMIT; i++) {
		struct memory_region region = {.guest_address = (uint64_t)((i * 29) % MEMORY_REGION_LIMIT) * MIB,
					       .size = 4096,
					       .offset = 4096 * i + 8}; /* not at a page: no matter */

		region.size -= i == 0 ? 8 : 0;
		assert_int_equal(memory_with(&more, memory, &region, fd, NULL), 0);
		memory_unref(memory);
		memory = more;
	}
	assert_int_equal(memory_with(&more, memory, &(struct memory_region){1ull << 40, 4096, 0, 0}, fd, NULL), -1);
	for (unsigned i = 0; i < MEMORY_REGION_LIMIT; i++)
		assert_non_null(memory_at_guest(memory, (uint64_t)i * MIB, 4088));
	memory_unref(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_addresses_lead_to_the_same_byte),
		cmocka_unit_test(what_is_not_wholly_inside_a_region_is_nowhere),
		cmocka_unit_test(a_range_over_two_regions_comes_in_parts),
		cmocka_unit_test(an_older_memory_keeps_what_a_newer_one_has_not),
		cmocka_unit_test(regions_that_make_no_sense_are_refused),
		cmocka_unit_test(there_is_a_cap_on_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
