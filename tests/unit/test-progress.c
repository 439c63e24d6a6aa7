#include "test.h"

#include "base/file.h"
#include "cli/progress.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Runs with a clock and a terminal of our own, and with standard error in a file, which the test then reads. */
static int saved = -1;
static char path[] = "/tmp/test-progress-XXXXXX";

static uint64_t clock_ms;
static unsigned terminal_rows, terminal_columns, times_resumed;
static bool terminal_is_ours;

static uint64_t now_ms(void)
{
	return clock_ms;
}

static void size(unsigned *ret_rows, unsigned *ret_columns)
{
	*ret_rows = terminal_rows;
	*ret_columns = terminal_columns;
}

static bool is_ours(void)
{
	return terminal_is_ours;
}

static unsigned resumed(void)
{
	return times_resumed;
}

static const struct progress_place place = {now_ms, size, is_ours, resumed};

static int redirect(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	clock_ms = 1000000;
	terminal_rows = 24;
	terminal_columns = 80;
	terminal_is_ours = true;
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

static struct progress *make(const char *mode)
{
	struct progress *made = NULL;

	assert_int_equal(progress_new(&made, &place, NULL), 0);
	progress_set_mode(made, mode);
	return made;
}

static void report(struct progress *progress, const char *step, const char *text, int finished)
{
	const struct annex_progress report = {.step = step, .text = text, .finished = finished};

	progress_report(&report, progress);
}

/* MiB of one layer of an image. */
static void report_layer(struct progress *progress, unsigned index, const char *text, unsigned done, unsigned total)
{
	static const char *const names[] = {"sha256:aaaaaaaaaaaaaaaaaaaa", "sha256:bbbbbbbbbbbbbbbbbbbb",
					    "sha256:cccccccccccccccccccc"};
	const struct annex_progress report = {.step = "pull",
					      .text = text,
					      .done = (uint64_t)done << 20,
					      .total = (uint64_t)total << 20,
					      .finished = done == total,
					      .item = names[index % 3],
					      .index = index,
					      .count = 42};

	progress_report(&report, progress);
}

static void report_whole(struct progress *progress, const char *text, unsigned done, int finished)
{
	const struct annex_progress report = {.step = "pull",
					      .text = text,
					      .done = (uint64_t)done << 20,
					      .total = 1000u << 20,
					      .finished = finished,
					      .count = 42};

	progress_report(&report, progress);
}

/* All that was written since the last call. The caller frees it. */
static char *output(void)
{
	char *bytes = NULL;
	size_t size = 0;

	fflush(stderr);
	assert_int_equal(file_read(&bytes, &size, AT_FDCWD, path, 65536), 0);
	assert_int_equal(ftruncate(STDERR_FILENO, 0), 0);
	assert_int_equal(lseek(STDERR_FILENO, 0, SEEK_SET), 0);
	return bytes;
}

static void check_output(const char *expected)
{
	auto_free char *bytes = output();

	assert_string_equal(bytes, expected);
}

static void elsewhere_than_on_a_terminal_each_step_is_a_line(void **state)
{
	auto_progress struct progress *progress = make(NULL);

	(void)state;
	report(progress, "import", "unpacking", 0);
	report(progress, "import", "unpacking", 0);
	report(progress, "import", "unpacking", 1);
	report(progress, "boot", "booting\033[2J", 0);
	report(progress, "boot", "booting\033[2J", 1);
	check_output("unpacking\nbooting?[2J\n");
}

static void a_step_that_took_long_says_so(void **state)
{
	auto_progress struct progress *progress = make("plain");

	(void)state;
	report(progress, "boot", "booting", 0);
	clock_ms += 1020;
	report(progress, "boot", "booting", 1);
	check_output("booting\nbooting: 1.0 s\n");
}

static void changes_are_lines_but_no_flood(void **state)
{
	auto_progress struct progress *progress = make("plain");
	char text[] = "waiting 0";

	(void)state;
	report(progress, "pull", "asking", 0);
	for (int i = 0; i < 9; i++) {
		report(progress, "pull", text, 0);
		text[8]++;
	}
	check_output("asking\nwaiting 0\nwaiting 1\nwaiting 2\nwaiting 3\n");
	clock_ms += 1000;
	report(progress, "pull", text, 0);
	report(progress, "pull", text, 0);
	report(progress, "pull", "asking", 0);
	check_output("waiting 9\n");
	clock_ms += 1000;
	report(progress, "pull", "asking", 0);
	check_output("asking\n");
}

static void nothing_is_shown_when_none_is_wanted(void **state)
{
	auto_progress struct progress *progress = make("none");

	(void)state;
	report(progress, "boot", "booting", 0);
	report(progress, "boot", "booting", 1);
	check_output("");
}

static void the_animated_line_is_taken_away(void **state)
{
	struct progress *progress = make("ansi");

	(void)state;
	report(progress, "boot", "booting", 0);
	progress_clear(progress);
	progress_clear(progress);
	report(progress, "boot", "still booting", 0);
	progress_free(progress);
	check_output("\rbooting\033[J\r\r\033[J\rstill booting\033[J\r\r\033[J");
}

static void layers_that_end_are_lines_elsewhere(void **state)
{
	auto_progress struct progress *progress = make("plain");

	(void)state;
	report_whole(progress, "pulling debian:12", 0, 0);
	report_layer(progress, 0, "here already", 20, 20);
	report_layer(progress, 1, "downloading", 0, 45);
	report_whole(progress, "pulling debian:12", 20, 0);
	clock_ms += 500;
	report_layer(progress, 1, "downloading", 30, 45);
	report_whole(progress, "pulling debian:12", 50, 0);
	clock_ms += 1500;
	report_layer(progress, 1, "unpacking", 45, 45);
	report_whole(progress, "pulling debian:12", 65, 1);
	check_output("pulling debian:12\n"
		     "layer 1 of 42: 20 MiB, here already\n"
		     "layer 2 of 42: 45 MiB in 2.0 s (22.5 MiB/s)\n"
		     "pulling debian:12: 65 MiB in 2.0 s (22.5 MiB/s)\n");
}

static void layers_under_way_are_lines_on_a_terminal(void **state)
{
	struct progress *progress = make("ansi");

	(void)state;
	report_layer(progress, 0, "here already", 20, 20);
	report_layer(progress, 1, "downloading", 0, 45);
	report_whole(progress, "pulling debian:12", 20, 0);
	check_output("\rpulling debian:12: 1 of 42 layers done, 40 waiting\033[K\n"
		     "bbbbbbbbbbbb  downloading       0 B of   45 MiB    0%              [>         ]\033[K\n"
		     "total                        20 MiB of 1000 MiB    2%                          \033[J\r");
	clock_ms += 3000;
	report_layer(progress, 1, "downloading", 30, 45);
	report_whole(progress, "pulling debian:12", 50, 0);
	check_output("\r\033[2Apulling debian:12: 1 of 42 layers done, 40 waiting\033[K\n"
		     "bbbbbbbbbbbb  downloading    30 MiB of   45 MiB   66%    10 MiB/s  [======>   ]\033[K\n"
		     "total                        50 MiB of 1000 MiB    5%    10 MiB/s  1m 35s left \033[J\r");
	report_layer(progress, 1, "unpacking", 45, 45);
	report_whole(progress, "pulling debian:12", 65, 1);
	progress_free(progress);
	check_output("\r\033[2A\033[Jpulling debian:12: 65 MiB in 3.0 s (15 MiB/s)\n");
}

static void a_terminal_is_drawn_ten_times_a_second(void **state)
{
	auto_progress struct progress *progress = make("ansi");
	auto_free char *written = NULL;
	unsigned drawn = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		report_layer(progress, 0, "downloading", i, 1000);
		report_whole(progress, "pulling", i, 0);
		clock_ms++;
	}
	written = output();
	for (const char *at = written; (at = strstr(at, "\033[J")); at++)
		drawn++;
	assert_int_equal(drawn, 10);
}

/* The widest line, and how many there are. */
static unsigned measure(unsigned *ret_lines, const char *drawn)
{
	unsigned widest = 0, width = 0;

	*ret_lines = 1;
	for (const char *at = drawn; *at; at++) {
		if (*at == '\033') {
			at += strcspn(at, "AJK");
		} else if (*at == '\n') {
			++*ret_lines;
			width = 0;
		} else if (*at != '\r') {
			width++;
		}
		widest = width > widest ? width : widest;
	}
	return widest;
}

static void lines_fit_into_every_terminal(void **state)
{
	auto_progress struct progress *progress = make("ansi");

	(void)state;
	for (terminal_rows = 1; terminal_rows < 30; terminal_rows += 3) {
		for (terminal_columns = 20; terminal_columns < 200; terminal_columns += 7) {
			auto_free char *drawn = NULL;
			unsigned lines = 0;

			for (unsigned i = 0; i < 20; i++)
				report_layer(progress, i, "copying from another image", i, 45 + i);
			clock_ms += 600;
			free(output());
			report_whole(progress, "pulling registry.example/a/rather/long/name:with-a-tag", 20, 0);
			drawn = output();
			assert_in_range(measure(&lines, drawn), 10, terminal_columns - 1);
			assert_in_range(lines, 1, terminal_rows < 3 ? 1 : terminal_rows - 1);
		}
	}
}

static void in_a_low_terminal_layers_are_counted(void **state)
{
	auto_progress struct progress *progress = make("ansi");

	(void)state;
	terminal_rows = 5;
	terminal_columns = 40;
	for (unsigned i = 0; i < 4; i++)
		report_layer(progress, i, "downloading", 0, 45);
	report_whole(progress, "pulling debian:12", 0, 0);
	check_output("\rpulling debian:12\033[K\n"
		     "aaaaaaaaaaaa  downloading    0%\033[K\n"
		     "and 3 more\033[K\n"
		     "0 of 42 layers done, 38 waiting    0%\033[J\r");
}

static void a_terminal_made_narrow_has_broken_the_lines(void **state)
{
	auto_progress struct progress *progress = make("ansi");

	(void)state;
	report_layer(progress, 1, "downloading", 0, 45);
	report_whole(progress, "pulling debian:12", 20, 0);
	free(output());
	terminal_columns = 40;
	progress_clear(progress);
	/* 50 and 79 columns above the last line: four rows of 40. */
	check_output("\r\033[4A\033[J");
}

static void what_others_wrote_over_is_left_alone(void **state)
{
	auto_progress struct progress *progress = make("ansi");

	(void)state;
	report(progress, "boot", "booting", 0);
	times_resumed++;
	report(progress, "boot", "still booting", 0);
	check_output("\rbooting\033[J\r\rstill booting\033[J\r");
	terminal_is_ours = false;
	report(progress, "boot", "booting on", 0);
	check_output("");
	terminal_is_ours = true;
	report(progress, "boot", "nearly", 0);
	times_resumed++;
	progress_clear(progress);
	check_output("\rnearly\033[J\r");
}

static void programs_get_lines_of_json(void **state)
{
	auto_progress struct progress *progress = make("json");

	(void)state;
	report(progress, "boot", "booting", 0);
	report(progress, "boot", "booting", 0);
	clock_ms += 100;
	report(progress, "boot", "booting", 0);
	report(progress, "boot", "booting", 1);
	report_layer(progress, 1, "un\033packing", 1, 1);
	check_output("{\"step\":\"boot\",\"text\":\"booting\",\"done\":0,\"total\":0,\"finished\":false,\"item\":null,"
		     "\"index\":0,\"count\":0}\n"
		     "{\"step\":\"boot\",\"text\":\"booting\",\"done\":0,\"total\":0,\"finished\":false,\"item\":null,"
		     "\"index\":0,\"count\":0}\n"
		     "{\"step\":\"boot\",\"text\":\"booting\",\"done\":0,\"total\":0,\"finished\":true,\"item\":null,"
		     "\"index\":0,\"count\":0}\n"
		     "{\"step\":\"pull\",\"text\":\"un?packing\",\"done\":1048576,\"total\":1048576,\"finished\":true,"
		     "\"item\":\"sha256:bbbbbbbbbbbbbbbbbbbb\",\"index\":1,\"count\":42}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(elsewhere_than_on_a_terminal_each_step_is_a_line, redirect, put_back),
		cmocka_unit_test_setup_teardown(a_step_that_took_long_says_so, redirect, put_back),
		cmocka_unit_test_setup_teardown(changes_are_lines_but_no_flood, redirect, put_back),
		cmocka_unit_test_setup_teardown(nothing_is_shown_when_none_is_wanted, redirect, put_back),
		cmocka_unit_test_setup_teardown(the_animated_line_is_taken_away, redirect, put_back),
		cmocka_unit_test_setup_teardown(layers_that_end_are_lines_elsewhere, redirect, put_back),
		cmocka_unit_test_setup_teardown(layers_under_way_are_lines_on_a_terminal, redirect, put_back),
		cmocka_unit_test_setup_teardown(a_terminal_is_drawn_ten_times_a_second, redirect, put_back),
		cmocka_unit_test_setup_teardown(lines_fit_into_every_terminal, redirect, put_back),
		cmocka_unit_test_setup_teardown(in_a_low_terminal_layers_are_counted, redirect, put_back),
		cmocka_unit_test_setup_teardown(a_terminal_made_narrow_has_broken_the_lines, redirect, put_back),
		cmocka_unit_test_setup_teardown(what_others_wrote_over_is_left_alone, redirect, put_back),
		cmocka_unit_test_setup_teardown(programs_get_lines_of_json, redirect, put_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
