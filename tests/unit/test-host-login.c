/* What sessions are told of this process' terminal and language. */
#include "test.h"

#include "base/spawn.h"
#include "folder.h"
#include "lib/host.h"

#include <stdio.h>

static const char *const names[] = {"LANG",      "LC_ALL", "LC_TIME",  "TERM",
				    "COLORTERM", "TZ",     "TERMINFO", "TERMINFO_DIRS"};

static void clear(void)
{
	for (size_t i = 0; i < COUNT_OF(names); i++)
		unsetenv(names[i]);
	setenv("HOME", folder, 1);
}

/* Entries of two names in folder/first, and in folder/second one of another size. */
static int set_up(void **state)
{
	char source[128], output[128];
	const char *const argv[] = {"tic", "-o", output, source, NULL};
	static const struct {
		const char *folder, *text;
	} rows[] = {
		{"first", "annex-one|x, am,\nannex-two|x, am,\n"},
		{"second", "annex-one|x, am, bel=^G,\n"},
		{".terminfo", "annex-home|x, am,\n"},
	};
	int status = 0;

	if (folder_set_up(state) < 0)
		return -1;
	for (size_t i = 0; i < COUNT_OF(rows) && status == 0; i++) {
		auto_free char *told = NULL;

		snprintf(source, sizeof(source), "%s/source", folder);
		snprintf(output, sizeof(output), "%s/%s", folder, rows[i].folder);
		if (file_write_atomic(AT_FDCWD, source, rows[i].text, strlen(rows[i].text), 0600) < 0 ||
		    spawn_capture(&told, NULL, &status, argv, 1 << 16, NULL) < 0)
			return -1;
	}
	return status;
}

static bool finds(const char *name)
{
	auto_free char *found = NULL;
	size_t size = 0;

	found = host_terminfo(&size, name);
	return found && size > 0;
}

static void entries_are_found_where_ncurses_looks(void **state)
{
	auto_free char *first = NULL, *second = NULL;
	char path[192];
	size_t size = 0, other = 0;

	(void)state;
	clear();
	assert_true(finds("xterm-256color"));
	assert_true(finds("annex-home"));
	assert_false(finds("annex-one"));
	assert_false(finds("../x"));
	assert_false(finds(""));
	snprintf(path, sizeof(path), "/nowhere:%s/first", folder);
	setenv("TERMINFO_DIRS", path, 1);
	first = host_terminfo(&size, "annex-one");
	assert_non_null(first);
	assert_true(finds("xterm-256color"));
	snprintf(path, sizeof(path), "%s/second", folder);
	setenv("TERMINFO", path, 1);
	second = host_terminfo(&other, "annex-one");
	assert_non_null(second);
	assert_int_not_equal(size, other);
	assert_true(finds("annex-two"));
}

static void an_entry_that_is_none_is_left_out(void **state)
{
	char path[192];

	(void)state;
	clear();
	snprintf(path, sizeof(path), "%s/first/a/annex-false", folder);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, "\032\001nonsense", 10, 0644), 0);
	snprintf(path, sizeof(path), "%s/first", folder);
	setenv("TERMINFO", path, 1);
	assert_false(finds("annex-false"));
}

static bool says(const struct host_login *login, const char *wanted)
{
	for (size_t i = 0; i < login->variables.count; i++) {
		if (strcmp(login->variables.items[i], wanted) == 0)
			return true;
	}
	return false;
}

static void only_what_describes_the_terminal_and_the_language_is_said(void **state)
{
	auto_host_login struct host_login quiet = {0}, seen = {0};

	(void)state;
	clear();
	setenv("SECRET", "x", 1);
	setenv("LANG", "de_DE.UTF-8", 1);
	setenv("LC_TIME", "en_GB.UTF-8", 1);
	setenv("LC_SECRET", "x", 1);
	setenv("TERM", "xterm-256color", 1);
	setenv("COLORTERM", "truecolor", 1);
	assert_int_equal(host_login_make(&quiet, false, NULL), 0);
	assert_int_equal(quiet.variables.count, 3);
	assert_true(says(&quiet, "LANG=de_DE.UTF-8") && says(&quiet, "LC_TIME=en_GB.UTF-8") &&
		    says(&quiet, "TERM=xterm-256color"));
	assert_null(quiet.terminfo);
	assert_null(quiet.time_zone_rule);
	setenv("TZ", "Europe/Berlin", 1);
	assert_int_equal(host_login_make(&seen, true, NULL), 0);
	assert_true(says(&seen, "COLORTERM=truecolor") && says(&seen, "TZ=Europe/Berlin"));
	assert_int_equal(seen.variables.count, 5);
	assert_true(seen.terminfo_size > 0);
	assert_string_equal(seen.time_zone_rule, "CET-1CEST,M3.5.0,M10.5.0/3");
	setenv("http_proxy", "http://localhost:3128", 1);
	assert_int_equal(host_login_add_proxies(&seen, true, NULL), 0);
	assert_true(says(&seen, "http_proxy=http://host.annex.internal:3128"));
	assert_int_equal(seen.variables.count, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_are_found_where_ncurses_looks),
		cmocka_unit_test(an_entry_that_is_none_is_left_out),
		cmocka_unit_test(only_what_describes_the_terminal_and_the_language_is_said),
	};

	return cmocka_run_group_tests(tests, set_up, folder_tear_down);
}
