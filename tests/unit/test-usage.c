/* What QEMU says of its disks. */
#include "test.h"

#include "supervisor/usage.h"

static struct message_usage disks(const char *text)
{
	auto_json json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
	struct message_usage usage = {0};

	assert_non_null(value);
	usage_disks(&usage, value);
	return usage;
}

static void the_disks_of_a_machine_are_added_up(void **state)
{
	struct message_usage usage = disks("[{\"stats\":{\"rd_bytes\":5,\"wr_bytes\":7}},{\"qdev\":\"x\",\"stats\":"
					   "{\"rd_bytes\":10,\"wr_bytes\":100,\"rd_operations\":3}}]");

	(void)state;
	assert_int_equal(usage.known, USAGE_DISK);
	assert_int_equal(usage.disk_read, 15);
	assert_int_equal(usage.disk_written, 107);
}

static void what_is_odd_in_an_answer_counts_nothing(void **state)
{
	struct message_usage usage = disks("[1,{},{\"stats\":7},{\"stats\":{\"rd_bytes\":-5,\"wr_bytes\":\"x\"}}]");

	(void)state;
	assert_int_equal(usage.disk_read, 0);
	assert_int_equal(usage.disk_written, 0);
	usage = disks(
		"[{\"stats\":{\"rd_bytes\":9223372036854775807}},{\"stats\":{\"rd_bytes\":9223372036854775807}}]");
	assert_int_equal(usage.disk_read, INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_disks_of_a_machine_are_added_up),
		cmocka_unit_test(what_is_odd_in_an_answer_counts_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
