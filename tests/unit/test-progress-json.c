#include "test.h"

#include "annex/progress.h"

#include "base/cleanup.h"

#include <string.h>

static void a_report_is_one_line_of_json(void **state)
{
	const struct annex_progress report = {.step = "pull",
					      .text = "downloading \"x\"\n",
					      .done = 5,
					      .total = 5000000000,
					      .item = "sha256:abc",
					      .index = 1,
					      .count = 3};
	auto_free char *text = annex_progress_json(&report);

	(void)state;
	assert_non_null(text);
	assert_string_equal(text,
			    "{\"step\":\"pull\",\"text\":\"downloading \\\"x\\\"\\n\",\"done\":5,\"total\":5000000000,"
			    "\"finished\":false,\"item\":\"sha256:abc\",\"index\":1,\"count\":3}");
}

static void the_whole_has_no_item(void **state)
{
	const struct annex_progress report = {.step = "boot", .finished = 7};
	auto_free char *text = annex_progress_json(&report);

	(void)state;
	assert_non_null(text);
	assert_string_equal(text, "{\"step\":\"boot\",\"text\":\"\",\"done\":0,\"total\":0,"
				  "\"finished\":true,\"item\":null,\"index\":0,\"count\":0}");
}

static void a_text_that_is_not_utf8_is_told_anyway(void **state)
{
	const struct annex_progress good = {.step = "wait", .text = "f\303\274r"};
	const struct annex_progress bad = {.step = "wait", .text = "f\374r"};
	auto_free char *told = annex_progress_json(&good), *replaced = annex_progress_json(&bad);

	(void)state;
	assert_non_null(told);
	assert_non_null(replaced);
	assert_non_null(strstr(told, "\"text\":\"f\303\274r\""));
	assert_non_null(strstr(replaced, "\"text\":\"f?r\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_is_one_line_of_json),
		cmocka_unit_test(the_whole_has_no_item),
		cmocka_unit_test(a_text_that_is_not_utf8_is_told_anyway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
