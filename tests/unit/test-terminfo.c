/* Entries are made by ncurses' own compiler. */
#include "test.h"

#include "base/spawn.h"
#include "base/terminfo.h"
#include "folder.h"

#include <stdio.h>

static const char plain[] = "annex-plain|other-name|A Terminal, am, cols#80, bel=^G, cup=\\E[%i%p1%d;%p2%dH,\n";
/* Numbers past 16 bits, and capabilities by name. */
static const char rich[] = "annex-rich|Another One, am, colors#0x1000000, bel=^G, AX, RGB#8, Smulx=\\E[4:%p1%dm, Tc,\n";

static size_t compile(char **ret, const char *source, const char *name)
{
	char input[128], output[128], path[192];
	const char *const argv[] = {"tic", "-x", "-o", output, input, NULL};
	auto_free char *told = NULL;
	size_t size = 0;
	int status = -1;

	snprintf(input, sizeof(input), "%s/source", folder);
	snprintf(output, sizeof(output), "%s/made", folder);
	snprintf(path, sizeof(path), "%s/a/%s", output, name);
	assert_int_equal(file_write_atomic(AT_FDCWD, input, source, strlen(source), 0600), 0);
	assert_int_equal(spawn_capture(&told, NULL, &status, argv, 1 << 16, NULL), 0);
	assert_int_equal(status, 0);
	assert_int_equal(file_read(ret, &size, AT_FDCWD, path, TERMINFO_ENTRY_MAX), 0);
	return size;
}

static void names_are_those_of_files(void **state)
{
	static const char *const good[] = {"xterm",        "xterm-256color",     "tmux-256color",
					   "rxvt-unicode", "screen.xterm-kitty", "dec+pp",
					   "9term"},
				 *const bad[] = {"", ".", "..", "../x", "a/b", "-x", "a b", "a\n", "\xc3\xa4"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_true(terminfo_is_name(good[i]));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(terminfo_is_name(bad[i]));
}

static void entries_of_either_format_are_taken(void **state)
{
	auto_free char *first = NULL, *second = NULL;
	size_t size = compile(&first, plain, "annex-plain");

	(void)state;
	assert_true(terminfo_is_entry(first, size, "annex-plain"));
	assert_true(terminfo_is_entry(first, size, "other-name"));
	assert_false(terminfo_is_entry(first, size, "annex"));
	size = compile(&second, rich, "annex-rich");
	assert_int_equal((unsigned char)second[0] | second[1] << 8, 01036);
	assert_true(terminfo_is_entry(second, size, "annex-rich"));
}

static void what_is_cut_off_is_refused(void **state)
{
	auto_free char *made = NULL;
	size_t size = compile(&made, rich, "annex-rich"), ends = 0;

	(void)state;
	for (size_t cut = 0; cut < size; cut++) {
		auto_free char *copy = malloc(cut ? cut : 1); /* so that a sanitizer sees what is read past it */

		memcpy(copy, made, cut);
		ends += terminfo_is_entry(copy, cut, "annex-rich");
	}
	/* Without what is by name it is an entry still. */
	assert_in_range(ends, 1, 2);
}

static void what_is_no_entry_is_refused(void **state)
{
	auto_free char *made = NULL, *big = calloc(1, TERMINFO_ENTRY_MAX + 1);
	size_t size = compile(&made, plain, "annex-plain");

	(void)state;
	assert_non_null(big);
	memcpy(big, made, size);
	assert_false(terminfo_is_entry(big, TERMINFO_ENTRY_MAX + 1, "annex-plain"));
	made[2] = '\0'; /* no names */
	assert_false(terminfo_is_entry(made, size, "annex-plain"));
	memset(made, 0xff, 12);
	assert_false(terminfo_is_entry(made, size, "annex-plain"));
	assert_false(terminfo_is_entry("#!/bin/sh\necho\n", 15, "annex-plain"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_those_of_files),
		cmocka_unit_test(entries_of_either_format_are_taken),
		cmocka_unit_test(what_is_cut_off_is_refused),
		cmocka_unit_test(what_is_no_entry_is_refused),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
