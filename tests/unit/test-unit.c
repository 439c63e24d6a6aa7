#include "test.h"

#include "base/text.h"
#include "machine/unit.h"

#include <string.h>

static const char *const environment[] = {"PATH=/bin:/a \"b\"\\c", "X=100% $HOME", NULL};
static const struct unit odd = {
	.name = "dev",
	.id = "0123",
	.data = "/home/a b/$x/50%",
	.config = "/c\\d",
	.runtime = "/run/\"r\"",
	.program = "/opt/$1/annex-supervisor",
	.environment = environment,
	.restarts = true,
};

static void everything_is_escaped_as_systemd_reads_it(void **state)
{
	auto_free char *text = NULL;

	(void)state;
	assert_int_equal(unit_text(&text, &odd, NULL), 0);
	assert_non_null(strstr(text, "\nExecStart=\"/opt/$1/annex-supervisor\" --data \"/home/a b/$$x/50%%\" --config "
				     "\"/c\\\\d\" --runtime \"/run/\\\"r\\\"\" --foreground dev\n"));
	assert_non_null(strstr(text, "\nEnvironment=\"PATH=/bin:/a \\\"b\\\"\\\\c\"\nEnvironment=\"X=100%% $HOME\"\n"));
	assert_non_null(strstr(text, "\nRestart=on-abnormal\n"));
	assert_non_null(strstr(text, "\nType=notify\nNotifyAccess=main\n"));
}

static void a_unit_tells_whose_it_is(void **state)
{
	auto_unit_mark struct unit_mark mark = {0}, none = {0}, torn = {0};
	auto_free char *text = NULL;

	(void)state;
	assert_int_equal(unit_text(&text, &odd, NULL), 0);
	assert_int_equal(unit_read(&mark, text, NULL), 0);
	assert_string_equal(mark.id, odd.id);
	assert_string_equal(mark.data, odd.data);
	assert_string_equal(mark.program, odd.program);
	assert_int_equal(unit_read(&none, "[Unit]\nId=1\n", NULL), 0);
	assert_null(none.id);
	assert_int_equal(unit_read(&torn, "[Unit]\n\n[X-Annex]\nId=1\n", NULL), -1);
}

static void what_no_line_can_hold_is_refused(void **state)
{
	struct unit unit = odd;
	auto_free char *text = NULL;
	auto_error struct annex_error *err = NULL;

	(void)state;
	unit.data = "/a\nExecStartPre=/bin/rm";
	assert_int_equal(unit_text(&text, &unit, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_escaped_as_systemd_reads_it),
		cmocka_unit_test(a_unit_tells_whose_it_is),
		cmocka_unit_test(what_no_line_can_hold_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
