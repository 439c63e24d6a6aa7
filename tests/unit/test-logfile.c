#include "test.h"

#include "base/file.h"
#include "base/text.h"
#include "supervisor/logfile.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
	char folder[64];
	char path[96];
	struct logfile *log;
};

static void start(struct scene *scene, uint64_t limit)
{
	auto_error struct annex_error *err = NULL;

	if (!scene->folder[0]) {
		strcpy(scene->folder, "/tmp/annex-test-XXXXXX");
		assert_non_null(mkdtemp(scene->folder));
		snprintf(scene->path, sizeof(scene->path), "%s/boot.log", scene->folder);
	}
	assert_int_equal(
		logfile_open(&scene->log, &(struct logfile_options){.path = scene->path, .limit = limit}, &err), 0);
}

static void stop(struct scene *scene)
{
	logfile_close(scene->log);
	assert_int_equal(file_remove_tree(AT_FDCWD, scene->folder), 0);
}

static void assert_content(const char *path, const char *expected)
{
	auto_free char *content = NULL;

	assert_int_equal(file_read(&content, NULL, AT_FDCWD, path, 1 << 20), 0);
	assert_string_equal(content, expected);
}

static void a_full_log_ends_with_a_note(void **state)
{
	struct scene scene = {0};

	(void)state;
	start(&scene, 4);
	logfile_write(scene.log, "abcdef", 6);
	logfile_write(scene.log, "ghi", 3);
	assert_content(scene.path, "abcd\n[the log is full; the rest is not kept]\n");
	logfile_restart(scene.log);
	logfile_write(scene.log, "jkl", 3);
	assert_content(scene.path, "jkl");
	stop(&scene);
}

static void a_log_starts_empty(void **state)
{
	struct scene scene = {0};

	(void)state;
	start(&scene, 10);
	logfile_write(scene.log, "01234567", 8);
	logfile_close(scene.log);
	start(&scene, 10);
	logfile_write(scene.log, "89ab", 4);
	assert_content(scene.path, "89ab");
	stop(&scene);
}

static void a_log_is_not_written_through_a_link(void **state)
{
	auto_error struct annex_error *err = NULL;
	struct scene scene = {0};

	(void)state;
	start(&scene, 10);
	logfile_close(TAKE(scene.log));
	assert_int_equal(unlink(scene.path), 0);
	assert_int_equal(symlink("/dev/null", scene.path), 0);
	assert_int_equal(logfile_open(&scene.log, &(struct logfile_options){.path = scene.path, .limit = 9}, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_SYSTEM);
	stop(&scene);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_log_ends_with_a_note),
		cmocka_unit_test(a_log_starts_empty),
		cmocka_unit_test(a_log_is_not_written_through_a_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
