#include "test.h"

#include "supervisor/memory.h"

#define MIB (1ull << 20)

static void a_machine_keeps_some_memory_that_it_can_use(void **state)
{
	(void)state;
	assert_true(memory_can_spare(300 * MIB, 512 * MIB, 256 * MIB));
	assert_false(memory_can_spare(257 * MIB, 512 * MIB, 256 * MIB));
	assert_false(memory_can_spare(0, 512 * MIB, 511 * MIB));
}

static void a_machine_whose_memory_grows_needs_none(void **state)
{
	(void)state;
	assert_true(memory_can_spare(0, 512 * MIB, 512 * MIB));
	assert_true(memory_can_spare(0, 512 * MIB, 1024 * MIB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_keeps_some_memory_that_it_can_use),
		cmocka_unit_test(a_machine_whose_memory_grows_needs_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
