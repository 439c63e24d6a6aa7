#include "test.h"

#include "machine/hardware.h"
#include "qemu/config.h"

#define GIB (1ull << 30)

static void a_machine_can_be_given_what_the_host_has(void **state)
{
	struct machine_settings settings = {.cpus = 2, .memory = GIB};
	struct hardware_room room = hardware_room(&settings, 8, 16 * GIB + 12345);

	(void)state;
	assert_int_equal(room.cpus, 8);
	assert_int_equal(room.growth, 15 * GIB);
}

static void a_machine_that_has_more_than_the_host_can_be_given_nothing(void **state)
{
	struct machine_settings settings = {.cpus = 16, .memory = 32 * GIB};
	struct hardware_room room = hardware_room(&settings, 8, 16 * GIB);

	(void)state;
	assert_int_equal(room.cpus, 16);
	assert_int_equal(room.growth, 0);
}

static void what_can_be_added_ends_where_processors_can_address(void **state)
{
	struct machine_settings settings = {.cpus = 1, .memory = GIB};
	struct hardware_room room = hardware_room(&settings, 1024, 4096 * GIB);

	(void)state;
	assert_int_equal(room.cpus, QEMU_CPUS_MAX);
	assert_int_equal(room.growth, 127 * GIB);
	assert_int_equal(room.growth % QEMU_GROWTH_UNIT, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_can_be_given_what_the_host_has),
		cmocka_unit_test(a_machine_that_has_more_than_the_host_can_be_given_nothing),
		cmocka_unit_test(what_can_be_added_ends_where_processors_can_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
