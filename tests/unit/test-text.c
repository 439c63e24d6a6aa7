#include "test.h"

#include "base/text.h"

#include <string.h>

static void sizes_have_binary_units_in_either_case(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} rows[] = {
		{"0", 0},           {"512", 512},         {"512b", 512},        {"1k", 1024},
		{"1K", 1024},       {"1kb", 1024},        {"1KiB", 1024},       {"64m", 64ull << 20},
		{"8G", 8ull << 30}, {"8gib", 8ull << 30}, {"1.5g", 3ull << 29}, {"2t", 2ull << 40},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		uint64_t bytes = 1;

		assert_int_equal(text_to_size(&bytes, rows[i].text), 0);
		assert_int_equal(bytes, rows[i].bytes);
	}
}

static void what_is_not_a_size_is_refused(void **state)
{
	static const char *const rows[] = {"",    "g",      "-1",   "+1",  " 1",  "1 g",        "1x",
					   "1gg", "1.2.3g", "0x10", "1ib", "inf", "9999999999t"};
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_true(text_to_size(&bytes, rows[i]) < 0);
}

static void numbers_take_the_whole_string_or_nothing(void **state)
{
	uint64_t value = 0;
	uint32_t small = 0;
	int64_t negative = 0;

	(void)state;
	assert_int_equal(text_to_u64(&value, "18446744073709551615", 10), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(text_to_u64(&value, "18446744073709551616", 10), -ERANGE);
	assert_int_equal(text_to_u64(&value, "12a", 10), -EINVAL);
	assert_int_equal(text_to_u64(&value, "-1", 10), -EINVAL);
	assert_int_equal(text_to_u64(&value, "", 10), -EINVAL);
	assert_int_equal(text_to_u32(&small, "4294967296", 10), -ERANGE);
	assert_int_equal(text_to_i64(&negative, "-42"), 0);
	assert_int_equal(negative, -42);
}

static void sizes_are_written_for_people(void **state)
{
	char buffer[TEXT_SIZE_BUFFER];

	(void)state;
	assert_string_equal(text_from_size(buffer, 0), "0 B");
	assert_string_equal(text_from_size(buffer, 1023), "1023 B");
	assert_string_equal(text_from_size(buffer, 1024), "1 KiB");
	assert_string_equal(text_from_size(buffer, 3ull << 29), "1.5 GiB");
	assert_string_equal(text_from_size(buffer, 64ull << 30), "64 GiB");
	assert_string_equal(text_from_size(buffer, UINT64_MAX), "16 EiB");
}

static void only_well_formed_utf8_is_utf8(void **state)
{
	(void)state;
	assert_true(text_is_utf8("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", 11));
	assert_false(text_is_utf8("\xc3", 1));
	assert_false(text_is_utf8("\xc0\x80", 2));
	assert_false(text_is_utf8("\xed\xa0\x80", 3));
	assert_false(text_is_utf8("\xff", 1));
}

static void a_list_stays_terminated(void **state)
{
	auto_text_list struct text_list list = {0};

	(void)state;
	for (int i = 0; i < 40; i++) {
		assert_int_equal(text_list_printf(&list, "%d", i), 0);
		assert_null(list.items[list.count]);
	}
	assert_string_equal(list.items[39], "39");
}

static void a_secret_is_gone_when_it_is_wiped(void **state)
{
	char *secret = NULL;

	(void)state;
	text_wipe(&secret);
	assert_int_equal(text_copy(&secret, NULL), 0);
	assert_null(secret);
	assert_int_equal(text_copy(&secret, "hush"), 0);
	assert_string_equal(secret, "hush");
	text_wipe(&secret);
	assert_null(secret);
}

static void what_strangers_say_is_made_clean(void **state)
{
	static const struct {
		const char *said, *clean;
		size_t limit;
	} rows[] = {
		{"plain", "plain", 100},
		{"a\x1b[0m\x7f\n", "a?[0m??", 100},
		{"\xc2\x9bx\xc2\xa0", "?x\xc2\xa0", 100}, /* C1 is a control character, a space that holds is none */
		{"\xff\xc3", "??", 100},
		{"\xc3\xa4\xc3\xa4", "\xc3\xa4", 3},
		{"", "", 100},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_free char *clean = text_clean(rows[i].said, rows[i].limit);

		assert_string_equal(clean, rows[i].clean);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_have_binary_units_in_either_case),
		cmocka_unit_test(what_is_not_a_size_is_refused),
		cmocka_unit_test(numbers_take_the_whole_string_or_nothing),
		cmocka_unit_test(sizes_are_written_for_people),
		cmocka_unit_test(only_well_formed_utf8_is_utf8),
		cmocka_unit_test(a_list_stays_terminated),
		cmocka_unit_test(what_strangers_say_is_made_clean),
		cmocka_unit_test(a_secret_is_gone_when_it_is_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
