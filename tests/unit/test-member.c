#include "test.h"

#include "rootfs/member.h"

#include <string.h>

static void assert_parses(const char *path, enum member_kind kind, const char *folder, const char *name)
{
	auto_member struct member member = {0};

	assert_int_equal(member_parse(&member, path, NULL), 0);
	assert_int_equal(member.kind, kind);
	assert_string_equal(member.folder, folder);
	if (name)
		assert_string_equal(member.name, name);
	else
		assert_null(member.name);
}

static void assert_refused(const char *path)
{
	auto_member struct member member = {0};
	auto_error struct annex_error *error = NULL;

	assert_int_equal(member_parse(&member, path, &error), -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_CORRUPT);
}

static void slashes_and_dots_mean_nothing(void **state)
{
	(void)state;
	assert_parses("a", MEMBER_ENTRY, "", "a");
	assert_parses("./a/./b//c/", MEMBER_ENTRY, "a/b", "c");
	assert_parses("/etc/passwd", MEMBER_ENTRY, "etc", "passwd");
	assert_parses("./", MEMBER_ROOT, "", NULL);
	assert_parses("", MEMBER_ROOT, "", NULL);
	assert_parses("///", MEMBER_ROOT, "", NULL);
	assert_parses("a/...", MEMBER_ENTRY, "a", "...");
	assert_parses("a/..b", MEMBER_ENTRY, "a", "..b");
}

static void names_are_bytes(void **state)
{
	(void)state;
	assert_parses("d/\xff\xfe", MEMBER_ENTRY, "d", "\xff\xfe");
}

static void climbing_is_refused(void **state)
{
	(void)state;
	assert_refused("..");
	assert_refused("../etc/passwd");
	assert_refused("a/../b");
	assert_refused("a/..");
	assert_refused("/..");
}

static void whiteouts_name_what_they_hide(void **state)
{
	(void)state;
	assert_parses("a/.wh.b", MEMBER_WHITEOUT, "a", "b");
	assert_parses("./.wh.b", MEMBER_WHITEOUT, "", "b");
}

static void opaque_folders_and_leftovers_are_told_apart(void **state)
{
	(void)state;
	assert_parses("a/b/.wh..wh..opq", MEMBER_OPAQUE, "a/b", NULL);
	assert_parses(".wh..wh..opq", MEMBER_OPAQUE, "", NULL);
	assert_parses(".wh..wh.plnk", MEMBER_IGNORED, "", NULL);
	assert_parses(".wh..wh.plnk/12.34", MEMBER_IGNORED, ".wh..wh.plnk", NULL);
	assert_parses("a/.wh..wh.aufs", MEMBER_IGNORED, "a", NULL);
}

static void impossible_whiteouts_are_refused(void **state)
{
	(void)state;
	assert_refused("a/.wh.");
	assert_refused("a/.wh..");
	assert_refused("a/.wh...");
	assert_refused(".wh.a/b");
}

static void too_long_is_refused(void **state)
{
	char name[300], path[5000];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_refused(name);
	name[255] = '\0';
	assert_parses(name, MEMBER_ENTRY, "", name);
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'a';
	path[4999] = '\0';
	assert_refused(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slashes_and_dots_mean_nothing),
		cmocka_unit_test(names_are_bytes),
		cmocka_unit_test(climbing_is_refused),
		cmocka_unit_test(whiteouts_name_what_they_hide),
		cmocka_unit_test(opaque_folders_and_leftovers_are_told_apart),
		cmocka_unit_test(impossible_whiteouts_are_refused),
		cmocka_unit_test(too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
