#include "test.h"

#include "cli/meter.h"

/* Feed it `rate` bytes per millisecond from `from` to `to`, on top of `*done`. */
static void feed(struct meter *meter, uint64_t *done, uint64_t from, uint64_t to, uint64_t rate, uint64_t total)
{
	for (uint64_t now = from; now < to; now += 100) {
		meter_update(meter, now, *done, total);
		*done += rate * 100;
	}
}

static void nothing_is_promised_before_something_is_known(void **state)
{
	struct meter meter = {0};
	uint64_t value = 7, done = 0;

	(void)state;
	assert_false(meter_rate(&value, &meter));
	assert_false(meter_left_ms(&value, &meter, 0));
	feed(&meter, &done, 1000, 1500, 10, 1000000);
	assert_false(meter_rate(&value, &meter));
	assert_int_equal(value, 7);
}

static void a_steady_flow_is_told_exactly(void **state)
{
	struct meter meter = {0};
	uint64_t rate = 0, left = 0, done = 0;

	(void)state;
	feed(&meter, &done, 1000, 11001, 10, 200000);
	assert_true(meter_rate(&rate, &meter));
	assert_int_equal(rate, 10000);
	assert_true(meter_left_ms(&left, &meter, 11000));
	assert_int_equal(left, 10000);
	assert_true(meter_left_ms(&left, &meter, 11200));
	assert_int_equal(left, 9800);
}

static void what_was_there_before_counts_for_no_speed(void **state)
{
	struct meter meter = {0};
	uint64_t rate = 0, done = 1u << 30;

	(void)state;
	feed(&meter, &done, 1000, 4001, 5, 2u << 30);
	assert_true(meter_rate(&rate, &meter));
	assert_int_equal(rate, 5000);
}

static void waiting_for_the_first_byte_is_not_slowness(void **state)
{
	struct meter meter = {0};
	uint64_t rate = 0, done = 0;

	(void)state;
	feed(&meter, &done, 0, 10001, 0, 1u << 30);
	assert_false(meter_rate(&rate, &meter));
	feed(&meter, &done, 10100, 12101, 20, 1u << 30);
	assert_true(meter_rate(&rate, &meter));
	assert_int_equal(rate, 20000);
}

static void a_hiccup_moves_the_promise_only_a_little(void **state)
{
	struct meter meter = {0};
	uint64_t before = 0, after = 0, done = 0;

	(void)state;
	feed(&meter, &done, 0, 10001, 10, 400000);
	assert_true(meter_left_ms(&before, &meter, 10000));
	feed(&meter, &done, 10100, 11101, 0, 400000); /* stands still for a second */
	assert_true(meter_left_ms(&after, &meter, 11100));
	assert_in_range(after, before - 1500, before + 5000);
}

static void it_learns_a_new_speed(void **state)
{
	struct meter meter = {0};
	uint64_t rate = 0, left = 0, done = 0;

	(void)state;
	feed(&meter, &done, 0, 5001, 100, 10000000);
	feed(&meter, &done, 5100, 65101, 10, 10000000);
	assert_true(meter_rate(&rate, &meter));
	assert_in_range(rate, 9900, 10200);
	assert_true(meter_left_ms(&left, &meter, 65100));
	assert_in_range(left, (10000000 - done) / 10 * 95 / 100, (10000000 - done) / 10 * 105 / 100);
}

static void what_stands_still_promises_nothing(void **state)
{
	struct meter meter = {0};
	uint64_t left = 0, done = 0;

	(void)state;
	feed(&meter, &done, 0, 5001, 100, 10000000);
	assert_true(meter_left_ms(&left, &meter, 5000));
	feed(&meter, &done, 5100, 205101, 0, 10000000);
	assert_false(meter_left_ms(&left, &meter, 205100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_promised_before_something_is_known),
		cmocka_unit_test(a_steady_flow_is_told_exactly),
		cmocka_unit_test(what_was_there_before_counts_for_no_speed),
		cmocka_unit_test(waiting_for_the_first_byte_is_not_slowness),
		cmocka_unit_test(a_hiccup_moves_the_promise_only_a_little),
		cmocka_unit_test(it_learns_a_new_speed),
		cmocka_unit_test(what_stands_still_promises_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
