/* The time zone of a host whose root is a folder. */
#include "test.h"

#include "folder.h"
#include "machine/hostzone.h"

#include <stdio.h>

static const char berlin[] = "TZif2...\nCET-1CEST,M3.5.0,M10.5.0/3\n";

static void put(const char *name, const char *text)
{
	auto_free char *path = path_join(folder, name);

	assert_non_null(path);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644), 0);
}

static void link_localtime(const char *target)
{
	auto_free char *path = path_join(folder, "etc/localtime");

	assert_non_null(path);
	unlink(path);
	if (target)
		assert_int_equal(symlink(target, path), 0);
}

static int set_up(void **state)
{
	char path[128];

	if (folder_set_up(state) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s" ZONE_FOLDER "/Europe", folder);
	if (file_make_folders(path, 0755) < 0)
		return -1;
	put("usr/share/zoneinfo/Europe/Berlin", berlin);
	put("usr/share/zoneinfo/EST5EDT", "TZif2...\nEST5EDT,M3.2.0,M11.1.0\n");
	snprintf(path, sizeof(path), "%s/etc", folder);
	return file_make_folders(path, 0755);
}

static void check(const char *variable, const char *name, const char *rule)
{
	struct hostzone zone;

	hostzone_find(&zone, folder, variable);
	assert_string_equal(zone.name, name);
	assert_string_equal(zone.rule, rule);
}

static void a_host_without_a_zone_has_none(void **state)
{
	(void)state;
	check(NULL, "", "");
	check("", "", "");
	check("no such zone", "", "");
}

static void the_link_counts_before_the_text(void **state)
{
	(void)state;
	put("etc/timezone", "Asia/Tokyo\n");
	check(NULL, "Asia/Tokyo", "");
	link_localtime("../usr/share/zoneinfo/Europe/Berlin");
	check(NULL, "Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3");
	link_localtime(NULL);
	put("etc/localtime", berlin); /* a copy: the text names it */
	check(NULL, "Asia/Tokyo", "CET-1CEST,M3.5.0,M10.5.0/3");
}

static void the_variable_counts_before_the_system(void **state)
{
	(void)state;
	link_localtime("/usr/share/zoneinfo/Asia/Tokyo");
	check("Europe/Berlin", "Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3");
	check(":Europe/Berlin", "Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3");
	check("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3");
	check("EST5EDT", "EST5EDT", "EST5EDT,M3.2.0,M11.1.0");
	check("NZST-12NZDT,M9.5.0,M4.1.0/3", "", "NZST-12NZDT,M9.5.0,M4.1.0/3");
	check("UTC0", "", "UTC0");
}

static void what_is_bad_does_no_harm(void **state)
{
	auto_free char *big = calloc(1, ZONE_FILE_MAX + 2);

	(void)state;
	link_localtime("/usr/share/zoneinfo/../../../etc/passwd");
	put("etc/timezone", "../../etc/passwd\n");
	check("../../../etc/passwd", "", "");
	check("/etc/passwd", "", "");
	assert_non_null(big);
	memset(big, '\n', ZONE_FILE_MAX + 1);
	memcpy(big, "TZif2", 5);
	put("usr/share/zoneinfo/Huge", big);
	check("Huge", "Huge", "");
	link_localtime("localtime");
	check(NULL, "", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_without_a_zone_has_none),
		cmocka_unit_test(the_link_counts_before_the_text),
		cmocka_unit_test(the_variable_counts_before_the_system),
		cmocka_unit_test(what_is_bad_does_no_harm),
	};

	return cmocka_run_group_tests(tests, set_up, folder_tear_down);
}
