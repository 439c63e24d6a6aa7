#include "test.h"

#include "guest/passwd.h"

#include <string.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# a comment:x:5:5:::\n"
			     "short:x:7\n"
			     "bad:x:-1:0:::\n"
			     "huge:x:4294967296:0:::\n"
			     "ada:x:1000:1001:Ada,,,:/home/ada:/bin/bash\n"
			     "twin:x:1000:1002::/home/twin:/bin/zsh\n"
			     "last:x:5000:5000::/home/last:";
static const char group[] =
	"root:x:0:\nwheel:x:10:root,ada\nada:x:1001:\nvideo:x:44:adam,ada\nagain:x:10:ada\nshort:x\n"
	"extra:x:50:ada";

static void a_user_is_found_by_name_and_by_uid(void **state)
{
	auto_passwd_user struct passwd_user by_name = {0}, by_uid = {0}, last = {0};

	(void)state;
	assert_int_equal(passwd_by_name(&by_name, passwd, "ada"), 0);
	assert_int_equal(by_name.uid, 1000);
	assert_int_equal(by_name.gid, 1001);
	assert_string_equal(by_name.home, "/home/ada");
	assert_string_equal(by_name.shell, "/bin/bash");
	assert_int_equal(passwd_by_uid(&by_uid, passwd, 1000), 0);
	assert_string_equal(by_uid.name, "ada"); /* the first of two */
	assert_int_equal(passwd_by_name(&last, passwd, "last"), 0);
	assert_string_equal(last.shell, "");
}

static void malformed_lines_are_nobody(void **state)
{
	static const char *const names[] = {"short", "bad", "huge", "# a comment", "", "ad", "adaa"};
	struct passwd_user user = {0};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_int_equal(passwd_by_name(&user, passwd, names[i]), -ENOENT);
	assert_int_equal(passwd_by_uid(&user, passwd, 7), -ENOENT);
	assert_int_equal(passwd_by_uid(&user, "", 0), -ENOENT);
}

static void supplementary_groups_come_once_each(void **state)
{
	uint32_t groups[8];

	(void)state;
	assert_int_equal(passwd_groups_of(groups, 8, group, "ada", 1001), 4);
	assert_int_equal(groups[0], 1001);
	assert_int_equal(groups[1], 10);
	assert_int_equal(groups[2], 44);
	assert_int_equal(groups[3], 50);
	assert_int_equal(passwd_groups_of(groups, 2, group, "ada", 1001), 2);
	assert_int_equal(passwd_groups_of(groups, 8, group, "nobody", 9), 1);
}

static void check(const char *spec, uint32_t uid, uint32_t gid, size_t count, const char *home)
{
	auto_error struct annex_error *err = NULL;
	struct passwd_identity *identity = calloc(1, sizeof(*identity));

	assert_non_null(identity);
	assert_int_equal(passwd_resolve(identity, spec, passwd, group, &err), 0);
	assert_int_equal(identity->user.uid, uid);
	assert_int_equal(identity->user.gid, gid);
	assert_int_equal(identity->group_count, count);
	assert_int_equal(identity->groups[0], gid);
	assert_string_equal(identity->user.home, home);
	passwd_user_clear(&identity->user);
	free(identity);
}

static void a_user_is_given_by_name_or_number_with_or_without_a_group(void **state)
{
	(void)state;
	check("ada", 1000, 1001, 4, "/home/ada");
	check("1000", 1000, 1001, 4, "/home/ada");
	check("ada:wheel", 1000, 10, 1, "/home/ada");
	check("ada:77", 1000, 77, 1, "/home/ada");
	check("0:0", 0, 0, 1, "/root");
	check("31337", 31337, 0, 1, "/");
}

static void refuse(const char *spec, enum annex_error_kind kind)
{
	auto_error struct annex_error *err = NULL;
	struct passwd_identity *identity = calloc(1, sizeof(*identity));

	assert_non_null(identity);
	assert_int_equal(passwd_resolve(identity, spec, passwd, group, &err), -1);
	assert_int_equal(annex_error_kind(err), kind);
	free(identity);
}

static void a_user_that_is_not_there_is_refused(void **state)
{
	(void)state;
	refuse("bob", ANNEX_ERROR_NOT_FOUND);
	refuse("ada:nogroup", ANNEX_ERROR_NOT_FOUND);
	refuse("4294967295", ANNEX_ERROR_NOT_FOUND); /* -1 is "no change" to the kernel */
	refuse("ada:4294967295", ANNEX_ERROR_NOT_FOUND);
	refuse("", ANNEX_ERROR_USAGE);
	refuse(":wheel", ANNEX_ERROR_USAGE);
	refuse("ada:", ANNEX_ERROR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_is_found_by_name_and_by_uid),
		cmocka_unit_test(malformed_lines_are_nobody),
		cmocka_unit_test(supplementary_groups_come_once_each),
		cmocka_unit_test(a_user_is_given_by_name_or_number_with_or_without_a_group),
		cmocka_unit_test(a_user_that_is_not_there_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
