#include "test.h"

#include "base/file.h"
#include "cli/progress.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

/* Runs with standard error in a file, which the test then reads. */
static int saved = -1;
static char path[] = "/tmp/test-progress-XXXXXX";

static int redirect(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	saved = dup(STDERR_FILENO);
	if (fd < 0 || saved < 0 || dup2(fd, STDERR_FILENO) < 0)
		return -1;
	close(fd);
	return 0;
}

static int put_back(void **state)
{
	(void)state;
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	unlink(path);
	snprintf(path, sizeof(path), "/tmp/test-progress-XXXXXX");
	return 0;
}

static void report(struct progress *progress, const char *step, const char *text, int finished)
{
	const struct annex_progress report = {.step = step, .text = text, .finished = finished};

	progress_report(&report, progress);
}

static void check_output(const char *expected)
{
	auto_free char *bytes = NULL;
	size_t size = 0;

	fflush(stderr);
	assert_int_equal(file_read(&bytes, &size, AT_FDCWD, path, 65536), 0);
	assert_string_equal(bytes, expected);
}

static void elsewhere_than_on_a_terminal_each_step_is_a_line(void **state)
{
	auto_progress struct progress *progress = NULL;

	(void)state;
	assert_int_equal(progress_new(&progress, NULL), 0);
	report(progress, "import", "unpacking", 0);
	report(progress, "import", "unpacking", 0);
	report(progress, "import", "unpacking", 1);
	report(progress, "boot", "booting\033[2J", 0);
	report(progress, "boot", "booting\033[2J", 1);
	check_output("unpacking\nbooting?[2J\n");
}

static void a_step_that_took_long_says_so(void **state)
{
	const struct timespec second = {1, 20000000};
	auto_progress struct progress *progress = NULL;

	(void)state;
	assert_int_equal(progress_new(&progress, NULL), 0);
	report(progress, "boot", "booting", 0);
	nanosleep(&second, NULL);
	report(progress, "boot", "booting", 1);
	check_output("booting\nbooting: 1.0 s\n");
}

static void nothing_is_shown_when_none_is_wanted(void **state)
{
	auto_progress struct progress *progress = NULL;

	(void)state;
	assert_int_equal(progress_new(&progress, NULL), 0);
	progress_set_mode(progress, "none");
	report(progress, "boot", "booting", 0);
	report(progress, "boot", "booting", 1);
	check_output("");
}

static void the_animated_line_is_taken_away(void **state)
{
	struct progress *progress = NULL;

	(void)state;
	assert_int_equal(progress_new(&progress, NULL), 0);
	progress_set_mode(progress, "ansi");
	report(progress, "boot", "booting", 0);
	progress_clear(progress);
	progress_clear(progress);
	report(progress, "boot", "still booting", 0);
	progress_free(progress);
	check_output("\r\033[Kbooting\r\033[K\r\033[Kstill booting\r\033[K");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(elsewhere_than_on_a_terminal_each_step_is_a_line, redirect, put_back),
		cmocka_unit_test_setup_teardown(a_step_that_took_long_says_so, redirect, put_back),
		cmocka_unit_test_setup_teardown(nothing_is_shown_when_none_is_wanted, redirect, put_back),
		cmocka_unit_test_setup_teardown(the_animated_line_is_taken_away, redirect, put_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
