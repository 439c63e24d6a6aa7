#include "test.h"

#include "base/text.h"
#include "unpack/report.h"

#include <string.h>

/* Through the encoder and the decoder. */
static void pass(struct report *ret, const struct report *report, size_t layers)
{
	auto_free char *line = report_encode(report, layers);
	size_t size = line ? strlen(line) : 0;

	assert_true(size > 1 && size <= REPORT_LIMIT && line[size - 1] == '\n' && memchr(line, '\n', size - 1) == NULL);
	assert_int_equal(report_decode(ret, line, size - 1, layers, NULL), 0);
	assert_int_equal(ret->kind, report->kind);
}

static void every_kind_is_passed_on(void **state)
{
	auto_report struct report progress = {0}, layer = {0}, finishing = {0}, result = {0};

	(void)state;
	pass(&progress, &(struct report){.kind = REPORT_PROGRESS, .done = (uint64_t[]){0, 5, INT64_MAX}}, 3);
	assert_true(progress.done[0] == 0 && progress.done[1] == 5 && progress.done[2] == INT64_MAX);
	pass(&layer, &(struct report){.kind = REPORT_LAYER, .layer = 2}, 3);
	assert_int_equal(layer.layer, 2);
	pass(&finishing, &(struct report){.kind = REPORT_FINISHING}, 3);
	pass(&result, &(struct report){.kind = REPORT_RESULT, .size = 1ull << 40}, 0);
	assert_int_equal(result.size, 1ull << 40);
}

static void an_error_is_passed_on_with_all_it_has(void **state)
{
	auto_report struct report full = {0}, bare = {0};

	(void)state;
	pass(&full,
	     &(struct report){.kind = REPORT_ERROR,
			      .error = 8,
			      .os = 28,
			      .text = (char[]){"caf\xc3\xa9 \"x\""},
			      .hint = (char[]){"h"}},
	     0);
	assert_int_equal(full.error, 8);
	assert_int_equal(full.os, 28);
	assert_string_equal(full.text, "caf\xc3\xa9 \"x\"");
	assert_string_equal(full.hint, "h");
	pass(&bare, &(struct report){.kind = REPORT_ERROR, .text = (char[]){"m"}}, 0);
	assert_null(bare.hint);
}

static void what_is_no_utf8_becomes_question_marks(void **state)
{
	auto_report struct report report = {0};

	(void)state;
	pass(&report,
	     &(struct report){.kind = REPORT_ERROR, .text = (char[]){"a\xff\xc3\xa9\xc3\xf0\x9f\x98\x80\xe2\x82"}}, 0);
	assert_string_equal(report.text, "a?\xc3\xa9?\xf0\x9f\x98\x80??");
}

static void a_text_too_long_is_cut_between_characters(void **state)
{
	auto_report struct report report = {0};
	char *text = malloc(3 * REPORT_TEXT + 1);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < REPORT_TEXT; i++)
		memcpy(text + 3 * i, "\xe2\x82\xac", 4);
	pass(&report, &(struct report){.kind = REPORT_ERROR, .text = text, .hint = text}, 0);
	assert_true(strlen(report.text) <= REPORT_TEXT && strlen(report.text) > REPORT_TEXT - 3);
	assert_true(text_is_utf8(report.text, strlen(report.text)));
	free(text);
}

static void the_longest_report_fits_a_line(void **state)
{
	enum { MOST = 1024 }; /* REQUEST_LAYERS */
	auto_report struct report progress = {0}, error = {0};
	uint64_t done[MOST];
	char text[REPORT_TEXT + 1];

	(void)state;
	for (size_t i = 0; i < MOST; i++)
		done[i] = INT64_MAX;
	pass(&progress, &(struct report){.kind = REPORT_PROGRESS, .done = done}, MOST);
	memset(text, 1, REPORT_TEXT); /* six bytes each in JSON */
	text[REPORT_TEXT] = '\0';
	pass(&error, &(struct report){.kind = REPORT_ERROR, .text = text, .hint = text}, 0);
}

static void nonsense_is_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"report\":1}",
		"{\"report\":\"unknown\"}",
		"{\"report\":\"layer\",\"layer\":2}",
		"{\"report\":\"layer\",\"layer\":-1}",
		"{\"report\":\"progress\"}",
		"{\"report\":\"progress\",\"done\":[1]}",
		"{\"report\":\"progress\",\"done\":[1,2,3]}",
		"{\"report\":\"progress\",\"done\":[1,-2]}",
		"{\"report\":\"progress\",\"done\":[1,\"2\"]}",
		"{\"report\":\"progress\",\"done\":[1,2.5]}",
		"{\"report\":\"result\",\"size\":-1}",
		"{\"report\":\"error\",\"kind\":1}",
		"{\"report\":\"error\",\"kind\":4294967296,\"message\":\"x\"}",
		"{\"report\":\"error\",\"kind\":1,\"errno\":2147483648,\"message\":\"x\"}",
		"{\"report\":\"error\",\"kind\":1,\"message\":\"a\\u0000b\"}",
		"{\"report\":\"error\",\"kind\":1,\"message\":\"\xff\"}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		auto_error struct annex_error *err = NULL;
		struct report report = {0};

		assert_int_equal(report_decode(&report, lines[i], strlen(lines[i]), 2, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_passed_on),
		cmocka_unit_test(an_error_is_passed_on_with_all_it_has),
		cmocka_unit_test(what_is_no_utf8_becomes_question_marks),
		cmocka_unit_test(a_text_too_long_is_cut_between_characters),
		cmocka_unit_test(the_longest_report_fits_a_line),
		cmocka_unit_test(nonsense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
