#include "test.h"

#include "base/error.h"

static int inner(struct annex_error **err)
{
	fail_os(err, ENOENT, "cannot open disk %s", "root.qcow2");
	return fail_hint(err, "annex create %s", "IMAGE");
}

static void an_error_reads_from_what_was_asked_to_what_went_wrong(void **state)
{
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(inner(&err), -1);
	fail_while(&err, "cannot start machine '%s'", "web");
	assert_string_equal(annex_error_message(err),
			    "cannot start machine 'web': cannot open disk root.qcow2: No such file or directory");
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_SYSTEM);
	assert_int_equal(annex_error_errno(err), ENOENT);
}

static void the_first_hint_stays(void **state)
{
	auto_error struct annex_error *err = NULL;

	(void)state;
	inner(&err);
	fail_hint(&err, "something else");
	assert_string_equal(annex_error_hint(err), "annex create IMAGE");
}

static void a_relayed_error_of_unknown_kind_is_the_guests(void **state)
{
	auto_error struct annex_error *err = NULL;

	(void)state;
	fail_relayed(&err, 999, 0, "strange", "");
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_GUEST);
	assert_null(annex_error_hint(err));
}

static void what_is_quoted_stays_on_one_line_and_off_the_terminal(void **state)
{
	auto_error struct annex_error *err = NULL;

	(void)state;
	fail(&err, ANNEX_ERROR_CORRUPT, "tag 'a\nb\033[2J\302\233é'");
	fail_while(&err, "image\r");
	fail_hint(&err, "try\tb");
	assert_string_equal(annex_error_message(err), "image?: tag 'a?b?[2J??é'");
	assert_string_equal(annex_error_hint(err), "try?b");
}

static void a_caller_may_not_care(void **state)
{
	(void)state;
	assert_int_equal(inner(NULL), -1);
	assert_int_equal(fail_memory(NULL), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_reads_from_what_was_asked_to_what_went_wrong),
		cmocka_unit_test(the_first_hint_stays),
		cmocka_unit_test(a_relayed_error_of_unknown_kind_is_the_guests),
		cmocka_unit_test(what_is_quoted_stays_on_one_line_and_off_the_terminal),
		cmocka_unit_test(a_caller_may_not_care),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
