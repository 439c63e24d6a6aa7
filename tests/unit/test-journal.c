#include "test.h"

#include "base/file.h"
#include "base/text.h"
#include "machine/piece.h"
#include "supervisor/journal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct scene {
	char folder[64];
	struct journal *journal;
};

static void open_log(struct scene *scene, uint64_t piece, unsigned pieces, bool keep_open)
{
	auto_error struct annex_error *err = NULL;

	if (!scene->folder[0]) {
		strcpy(scene->folder, "/tmp/annex-test-XXXXXX");
		assert_non_null(mkdtemp(scene->folder));
	}
	assert_int_equal(journal_open(&scene->journal,
				      &(struct journal_options){.folder = scene->folder,
								.name = "log",
								.piece = piece,
								.pieces = pieces,
								.keep_open = keep_open},
				      &err),
			 0);
}

static void stop(struct scene *scene)
{
	journal_close(scene->journal);
	assert_int_equal(file_remove_tree(AT_FDCWD, scene->folder), 0);
}

static void say(struct scene *scene, unsigned stream, const char *text)
{
	journal_write(scene->journal, stream, text, strlen(text));
}

static void put_file(const struct scene *scene, const char *name, const char *content)
{
	auto_free char *path = path_join(scene->folder, name);

	assert_int_equal(file_write_atomic(AT_FDCWD, path, content, strlen(content), 0600), 0);
}

static char *content_of(const struct scene *scene, const char *name)
{
	auto_free char *path = path_join(scene->folder, name);
	char *content = NULL;

	return file_read(&content, NULL, AT_FDCWD, path, 1 << 24) == 0 ? content : NULL;
}

static void assert_content(const struct scene *scene, const char *name, const char *expected)
{
	auto_free char *content = content_of(scene, name);

	if (!expected)
		assert_null(content);
	else
		assert_string_equal(content, expected);
}

static void assert_places(const struct scene *scene, const char *name, struct piece_places *ret, size_t count)
{
	auto_free char *content = content_of(scene, name);
	size_t used = 0;

	assert_non_null(content);
	assert_int_equal(piece_places_parse(ret, &used, content, strlen(content)), 0);
	assert_int_equal(used, strlen(content));
	assert_int_equal(ret->count, count);
}

static void what_is_written_stays_as_it_came_with_its_times_beside_it(void **state)
{
	struct piece_places places = {0};
	struct scene scene = {0};
	time_t now = time(NULL);

	(void)state;
	open_log(&scene, 1000, 2, true);
	say(&scene, 1, "one\ntw");
	say(&scene, 2, "err\n");
	say(&scene, 1, "o\n");
	assert_content(&scene, "log.1", "one\ntwerr\no\n");
	assert_places(&scene, "log.1.times", &places, 3);
	assert_int_equal(places.items[0].offset, 0);
	assert_int_equal(places.items[1].offset, 6);
	assert_int_equal(places.items[1].stream, 2);
	assert_int_equal(places.items[2].offset, 10);
	assert_int_equal(places.items[2].stream, 1);
	assert_true(places.items[0].when_ms / 1000 >= now && places.items[2].when_ms / 1000 <= time(NULL));
	piece_places_clear(&places);
	stop(&scene);
}

static void a_time_is_written_down_where_a_line_begins_and_not_for_each(void **state)
{
	struct piece_places places = {0};
	struct scene scene = {0};

	(void)state;
	open_log(&scene, 1000, 2, false);
	for (int i = 0; i < 20; i++)
		say(&scene, 1, "x\n");
	say(&scene, 1, "begin");
	nanosleep(&(struct timespec){.tv_nsec = 2 * JOURNAL_STEP_MS * 1000000}, NULL);
	say(&scene, 1, " end\nnext");
	assert_places(&scene, "log.1.times", &places, 2);
	assert_int_equal(places.items[1].offset, 50);
	piece_places_clear(&places);
	stop(&scene);
}

static void a_full_piece_is_followed_by_a_new_one_and_the_oldest_goes(void **state)
{
	auto_piece_list struct piece_list list = {0};
	struct scene scene = {0};

	(void)state;
	open_log(&scene, 200, 3, false);
	for (char c = 'a'; c < 'a' + 10; c++) {
		char line[101];

		memset(line, c, 99);
		line[99] = '\n';
		line[100] = '\0';
		say(&scene, 1, line);
	}
	assert_int_equal(piece_list_load(&list, scene.folder, "log"), 0);
	assert_int_equal(list.count, 3);
	assert_true(list.numbers[0] > 1 && list.numbers[2] == list.numbers[0] + 2);
	assert_true(journal_size(scene.journal) <= 600 && journal_size(scene.journal) > 400);
	assert_content(&scene, "log.1", NULL);
	assert_content(&scene, "log.1.times", NULL);
	assert_true(journal_drop_oldest(scene.journal) && journal_drop_oldest(scene.journal));
	assert_false(journal_drop_oldest(scene.journal));
	assert_true(journal_size(scene.journal) <= 200);
	stop(&scene);
}

static void a_journal_goes_on_where_it_was(void **state)
{
	struct piece_places places = {0};
	struct scene scene = {0};
	uint64_t size;

	(void)state;
	open_log(&scene, 1000, 3, true);
	say(&scene, 1, "one\n");
	size = journal_size(scene.journal);
	journal_close(scene.journal);
	open_log(&scene, 1000, 3, true);
	assert_int_equal(journal_size(scene.journal), size);
	say(&scene, 1, "two\n");
	assert_content(&scene, "log.1", "one\ntwo\n");
	assert_places(&scene, "log.1.times", &places, 2);
	assert_int_equal(places.items[1].offset, 4);
	piece_places_clear(&places);
	stop(&scene);
}

static void logs_of_before_there_were_times_are_gone_on_with(void **state)
{
	auto_piece_list struct piece_list list = {0};
	struct scene scene = {0};

	(void)state;
	open_log(&scene, 1000, 9, true);
	journal_close(scene.journal);
	put_file(&scene, "log.1", "older\n");
	put_file(&scene, "log", "old\n");
	open_log(&scene, 1000, 9, true);
	say(&scene, 1, "new\n");
	assert_content(&scene, "log", NULL);
	assert_content(&scene, "log.1", "older\n");
	assert_content(&scene, "log.2", "old\n");
	assert_content(&scene, "log.3", "new\n");
	assert_int_equal(piece_list_load(&list, scene.folder, "log"), 0);
	assert_int_equal(list.count, 3);
	stop(&scene);
}

static void what_a_full_disk_does_not_take_is_told_of_later(void **state)
{
	struct rlimit before, small;
	struct scene scene = {0};
	auto_free char *content = NULL;

	(void)state;
	open_log(&scene, 1 << 20, 2, false);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){64, before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	say(&scene, 1, "0123456789012345678901234567890123456789012345678901234567890123456789\n");
	say(&scene, 1, "lost\n");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	say(&scene, 1, "back\n");
	content = content_of(&scene, "log.1");
	assert_string_equal(content, "0123456789012345678901234567890123456789012345678901234567890123\n"
				     "[12 bytes are missing here: the host's disk did not take them]\nback\n");
	stop(&scene);
}

static void what_is_no_place_is_left_out(void **state)
{
	static const char text[] =
		"0 1000 1\nx\n5 2000 3\n5 2000 2\n4 3000 1\n 6 1 1\n7 99999999999999999999 1\n8 4000 1 \n"
		"9 5000 1\n9 6000";
	struct piece_places places = {0};
	size_t used = 0;

	(void)state;
	assert_int_equal(piece_places_parse(&places, &used, text, strlen(text)), 0);
	assert_int_equal(used, strlen(text) - strlen("9 6000"));
	assert_int_equal(places.count, 3);
	assert_int_equal(places.items[1].offset, 5);
	assert_int_equal(places.items[1].stream, 2);
	assert_int_equal(places.items[2].when_ms, 5000);
	piece_places_clear(&places);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_stays_as_it_came_with_its_times_beside_it),
		cmocka_unit_test(a_time_is_written_down_where_a_line_begins_and_not_for_each),
		cmocka_unit_test(a_full_piece_is_followed_by_a_new_one_and_the_oldest_goes),
		cmocka_unit_test(a_journal_goes_on_where_it_was),
		cmocka_unit_test(logs_of_before_there_were_times_are_gone_on_with),
		cmocka_unit_test(what_a_full_disk_does_not_take_is_told_of_later),
		cmocka_unit_test(what_is_no_place_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
