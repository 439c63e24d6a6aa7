#include "test.h"

#include "base/file.h"
#include "base/zone.h"

#include <fcntl.h>
#include <string.h>

static void names_stay_below_their_folder(void **state)
{
	static const char *const
		good[] = {"UTC",       "Europe/Berlin", "America/Argentina/Buenos_Aires",
			  "Etc/GMT+5", "EST5EDT",       "America/Port-au-Prince"},
		*const bad[] = {
			"",          "/etc/passwd", "../etc/passwd", "Europe/../Berlin", "Europe//Berlin", "Europe/",
			"Europe/.x", "a b",         "a\nb",          "CET-1CEST,M3.5.0", "Z\xc3\xbcrich"};
	char longest[ZONE_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_true(zone_is_name(good[i]));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(zone_is_name(bad[i]));
	memset(longest, 'a', sizeof(longest));
	longest[ZONE_NAME_MAX + 1] = '\0';
	assert_false(zone_is_name(longest));
	longest[ZONE_NAME_MAX] = '\0';
	assert_true(zone_is_name(longest));
}

static void rules_are_told_from_names(void **state)
{
	static const char *const good[] = {"UTC0",
					   "CET-1CEST,M3.5.0,M10.5.0/3",
					   "<-03>3",
					   "EST5EDT",
					   "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
					   "EET-2EEST,M3.4.4/50,M10.4.4/50"},
				 *const bad[] = {"",     "UTC",  "CE1",        "Europe/Berlin", ":Europe/Berlin",
						 "<-03", "CET-", "CET-1 CEST", "CET-1\n",       "CET=1"};
	char longest[ZONE_RULE_MAX + 2];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_true(zone_is_rule(good[i]));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(zone_is_rule(bad[i]));
	memset(longest, '1', sizeof(longest));
	memcpy(longest, "CET", 3);
	longest[ZONE_RULE_MAX + 1] = '\0';
	assert_false(zone_is_rule(longest));
}

static void a_link_tells_the_name(void **state)
{
	(void)state;
	assert_string_equal(zone_of_path("/usr/share/zoneinfo/Europe/Berlin"), "Europe/Berlin");
	assert_string_equal(zone_of_path("../usr/share/zoneinfo/posix/UTC"), "UTC");
	assert_string_equal(zone_of_path("/etc/zoneinfo/right/Asia/Tokyo"), "Asia/Tokyo");
	assert_null(zone_of_path("/etc/my-zone"));
	assert_null(zone_of_path("/usr/share/zoneinfo/../../../etc/passwd"));
	assert_null(zone_of_path("/usr/share/zoneinfo/"));
}

static void a_file_tells_the_rule(void **state)
{
	auto_free char *zone = NULL;
	char rule[ZONE_RULE_MAX + 1];
	size_t size = 0;

	(void)state;
	assert_int_equal(file_read(&zone, &size, AT_FDCWD, ZONE_FOLDER "/Europe/Berlin", ZONE_FILE_MAX), 0);
	assert_true(zone_rule_of(rule, zone, size));
	assert_string_equal(rule, "CET-1CEST,M3.5.0,M10.5.0/3");
	assert_false(zone_rule_of(rule, zone, size - 1));
	zone[4] = '\0'; /* of the first version, which had none */
	assert_false(zone_rule_of(rule, zone, size));
	assert_false(zone_rule_of(rule, "TZif2\n", 6));
	assert_false(zone_rule_of(rule, "TZif2...\n\n", 10));
	assert_false(zone_rule_of(rule, "TZif2...\nUTC0;reboot\n", 21));
	assert_false(zone_rule_of(rule, "GIF89a..\nUTC0\n", 14));
	assert_true(zone_rule_of(rule, "TZif2...\nUTC0\n", 14));
	assert_string_equal(rule, "UTC0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_stay_below_their_folder),
		cmocka_unit_test(rules_are_told_from_names),
		cmocka_unit_test(a_link_tells_the_name),
		cmocka_unit_test(a_file_tells_the_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
