#include "test.h"

#include "wire/frame.h"

#include <string.h>

static void a_header_written_is_the_header_read(void **state)
{
	uint8_t bytes[FRAME_HEADER + 3] = {0};
	struct frame frame;
	size_t used = 0;

	(void)state;
	frame_put_header(bytes, 7 | FRAME_MORE, 2, 3);
	memcpy(bytes + FRAME_HEADER, "abc", 3);
	assert_int_equal(frame_parse(&frame, bytes, sizeof(bytes), &used), FRAME_READY);
	assert_int_equal(used, sizeof(bytes));
	assert_true(frame.kind == 7 && frame.more && frame.stream == 2 && frame.size == 3);
	assert_memory_equal(frame.payload, "abc", 3);
}

static void every_prefix_of_a_frame_asks_for_more(void **state)
{
	uint8_t bytes[FRAME_HEADER + 5] = {0};
	struct frame frame;
	size_t used = 0;

	(void)state;
	frame_put_header(bytes, 1, 1, 5);
	for (size_t n = 0; n < sizeof(bytes); n++)
		assert_int_equal(frame_parse(&frame, bytes, n, &used), FRAME_NEED_MORE);
}

static void a_length_out_of_bounds_breaks_the_link(void **state)
{
	static const uint8_t too_long[FRAME_HEADER] = {0xff, 0xff, 0xff, 0xff};
	static const uint8_t too_short[FRAME_HEADER] = {3};
	struct frame frame;
	size_t used = 0;

	(void)state;
	assert_int_equal(frame_parse(&frame, too_long, sizeof(too_long), &used), FRAME_BROKEN);
	assert_int_equal(frame_parse(&frame, too_short, sizeof(too_short), &used), FRAME_BROKEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_written_is_the_header_read),
		cmocka_unit_test(every_prefix_of_a_frame_asks_for_more),
		cmocka_unit_test(a_length_out_of_bounds_breaks_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
