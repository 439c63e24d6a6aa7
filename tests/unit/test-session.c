#include "test.h"
#include "folder.h"

#include "base/file.h"
#include "machine/session.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static struct machine_paths paths;

static void start(void)
{
	auto_error struct annex_error *err = NULL;

	assert_int_equal(machine_paths_make(&paths, folder, folder, folder, "web", &err), 0);
	assert_int_equal(file_make_folders(paths.folder, 0700), 0);
}

static void stop(void)
{
	assert_int_equal(file_remove_tree(AT_FDCWD, paths.folder), 0);
	machine_paths_clear(&paths);
}

/* Texts are constants: never cleared. */
static struct session_record make(const char *id, int64_t started)
{
	return (struct session_record){.version = SESSION_VERSION,
				       .id = (char *)id,
				       .user = (char *)"eva",
				       .command = (char *)"make \"all\" \\",
				       .started = started,
				       .detached = true};
}

static void save(struct session_record record)
{
	auto_error struct annex_error *err = NULL;

	assert_int_equal(session_record_save(&record, &paths, &err), 0);
}

static void load(struct session_list *ret)
{
	auto_error struct annex_error *err = NULL;

	assert_int_equal(session_list_load(ret, &paths, &err), 0);
}

static void append(const char *id, const char *text)
{
	auto_free char *path = NULL;
	auto_close int fd = -1;

	assert_true(asprintf(&path, "%s/sessions/%s/session.jsonl", paths.folder, id) > 0);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
}

static void the_last_line_that_is_whole_counts(void **state)
{
	auto_session_list struct session_list list = {0}, torn = {0};
	struct session_record record = make("0123456789ab", 1764094020);

	(void)state;
	start();
	save(record);
	append(record.id, "{\"version\":1,\"id\":\"0123456789ab\",\"us");
	load(&torn);
	assert_int_equal(torn.count, 1);
	assert_int_equal(torn.items[0].ended, 0);
	record.ended = 1764094030;
	record.status = 137;
	save(record); /* on a line of its own, whatever is there */
	load(&list);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].command, "make \"all\" \\");
	assert_int_equal(list.items[0].started, 1764094020);
	assert_int_equal(list.items[0].ended, 1764094030);
	assert_int_equal(list.items[0].status, 137);
	assert_true(list.items[0].detached && !list.items[0].terminal && !list.items[0].lost);
	stop();
}

static void what_is_no_record_is_left_out(void **state)
{
	auto_session_list struct session_list list = {0};

	(void)state;
	start();
	save(make("00000000000b", 20));
	save(make("00000000000a", 10));
	save(make("00000000000c", 10));
	append("00000000000c", "{\"version\":1,\"id\":\"00000000000d\",\"user\":\"\",\"command\":\"\","
			       "\"started\":\"2026-01-01T00:00:00Z\"}\n"); /* of another: not believed */
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"short", "0123456789AB", "ffffffffffff"};
		auto_free char *path = NULL;

		assert_true(asprintf(&path, "%s/sessions/%s", paths.folder, names[i]) > 0);
		assert_int_equal(file_make_folders(path, 0700), 0);
	}
	load(&list);
	assert_int_equal(list.count, 3);
	assert_int_equal(list.items[0].started, 10);
	assert_int_equal(list.items[1].started, 10);
	assert_string_equal(list.items[2].id, "00000000000b");
	stop();
}

static void those_that_nobody_runs_any_more_are_lost(void **state)
{
	auto_session_list struct session_list list = {0};
	struct session_record ended = make("00000000000a", 10);

	(void)state;
	start();
	session_list_lose(&paths); /* there need be none */
	ended.ended = 11;
	save(ended);
	save(make("00000000000b", 20));
	session_list_lose(&paths);
	load(&list);
	assert_int_equal(list.count, 2);
	assert_false(list.items[0].lost);
	assert_true(list.items[1].lost && list.items[1].ended == 0);
	stop();
}

static void the_order_is_that_of_the_start(void **state)
{
	auto_session_list struct session_list list = {0};
	auto_error struct annex_error *err = NULL;
	static const int64_t times[] = {5, 3, 9, 3};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct session_record record = {.id = strdup("x"), .started = times[i], .status = (int64_t)i};

		assert_int_equal(session_list_add(&list, &record, &err), 0);
		assert_null(record.id);
	}
	session_list_sort(&list);
	assert_int_equal(list.items[0].status, 1);
	assert_int_equal(list.items[1].status, 3);
	assert_int_equal(list.items[2].status, 0);
	assert_int_equal(list.items[3].status, 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_line_that_is_whole_counts),
		cmocka_unit_test(what_is_no_record_is_left_out),
		cmocka_unit_test(those_that_nobody_runs_any_more_are_lost),
		cmocka_unit_test(the_order_is_that_of_the_start),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
