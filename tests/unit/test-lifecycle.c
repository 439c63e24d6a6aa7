#include "test.h"

#include "machine/lifecycle.h"

static void a_machine_boots_and_stops(void **state)
{
	enum machine_state now = MACHINE_STOPPED;

	(void)state;
	assert_true(machine_next_state(&now, MACHINE_START));
	assert_true(machine_next_state(&now, MACHINE_QMP_READY));
	assert_true(machine_next_state(&now, MACHINE_AGENT_READY));
	assert_int_equal(now, MACHINE_RUNNING);
	assert_true(machine_next_state(&now, MACHINE_STOP));
	assert_true(machine_next_state(&now, MACHINE_QEMU_EXITED));
	assert_int_equal(now, MACHINE_STOPPED);
}

static void an_exit_that_nobody_asked_for_is_a_failure(void **state)
{
	(void)state;
	for (enum machine_state from = MACHINE_STARTING; from <= MACHINE_RUNNING; from++) {
		enum machine_state now = from;

		assert_true(machine_next_state(&now, MACHINE_QEMU_EXITED));
		assert_string_equal(machine_state_name(now), "failed");
	}
}

static void an_event_out_of_place_changes_nothing(void **state)
{
	enum machine_state now = MACHINE_STOPPED;

	(void)state;
	assert_false(machine_next_state(&now, MACHINE_AGENT_READY));
	assert_int_equal(now, MACHINE_STOPPED);
}

static void a_reboot_boots_again(void **state)
{
	enum machine_state now = MACHINE_RUNNING;

	(void)state;
	assert_true(machine_next_state(&now, MACHINE_REBOOTED));
	assert_int_equal(now, MACHINE_BOOTING);
}

static void what_waits_to_be_started_again_can_be_stopped(void **state)
{
	enum machine_state now = MACHINE_STOPPED;

	(void)state;
	assert_true(machine_next_state(&now, MACHINE_RETRY));
	assert_string_equal(machine_state_name(now), "restarting");
	assert_true(machine_next_state(&now, MACHINE_STOP));
	assert_int_equal(now, MACHINE_STOPPED);
	assert_true(machine_next_state(&now, MACHINE_RETRY));
	assert_true(machine_next_state(&now, MACHINE_START));
	assert_int_equal(now, MACHINE_STARTING);
	assert_false(machine_next_state(&now, MACHINE_RETRY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_boots_and_stops),
		cmocka_unit_test(an_exit_that_nobody_asked_for_is_a_failure),
		cmocka_unit_test(an_event_out_of_place_changes_nothing),
		cmocka_unit_test(a_reboot_boots_again),
		cmocka_unit_test(what_waits_to_be_started_again_can_be_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
