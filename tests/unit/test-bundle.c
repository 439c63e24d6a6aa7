#include "test.h"
#include "folder.h"

#include "base/file.h"
#include "base/text.h"
#include "registry/bundle.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct entry {
	const char *name, *contents, *symlink, *hardlink;
};

/* An archive of the entries, open for reading at its start. */
static int make_archive(const struct entry *entries, size_t count)
{
	struct archive *archive = archive_write_new();
	int fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	archive_write_set_format_pax_restricted(archive);
	archive_write_add_filter_gzip(archive);
	assert_int_equal(archive_write_open_fd(archive, fd), ARCHIVE_OK);
	for (size_t i = 0; i < count; i++) {
		struct archive_entry *entry = archive_entry_new();
		const char *contents = entries[i].contents ? entries[i].contents : "";

		archive_entry_set_pathname(entry, entries[i].name);
		archive_entry_set_mode(entry, (entries[i].symlink ? S_IFLNK : S_IFREG) | 0644);
		archive_entry_set_size(entry, (la_int64_t)strlen(contents));
		if (entries[i].symlink)
			archive_entry_set_symlink(entry, entries[i].symlink);
		if (entries[i].hardlink)
			archive_entry_set_hardlink(entry, entries[i].hardlink);
		assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
		archive_write_data(archive, contents, strlen(contents));
		archive_entry_free(entry);
	}
	archive_write_free(archive);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int read_archive(struct bundle **ret, const struct entry *entries, size_t count, struct annex_error **err)
{
	auto_close int fd = make_archive(entries, count);

	return bundle_from_archive(ret, fd, "test.tar", folder, NULL, NULL, err);
}

static void assert_contents(const struct bundle *bundle, const char *name, const char *contents)
{
	auto_free char *bytes = NULL;
	size_t size = 0;

	assert_int_equal(bundle_read(&bytes, &size, bundle, name, 1000), 0);
	assert_string_equal(bytes, contents);
	assert_int_equal(size, strlen(contents));
}

static void files_are_found_by_their_names_and_by_links(void **state)
{
	static const struct entry entries[] = {
		{.name = "./a/b", .contents = "one"},     {.name = "c", .contents = "two"},
		{.name = "d/link", .symlink = "../a/b"},  {.name = "d/twice", .symlink = "link"},
		{.name = "hard", .hardlink = "./c"},      {.name = "//abs//e/./f", .contents = "three"},
		{.name = "a/x/../g", .contents = "four"}, {.name = "d/nowhere", .symlink = "gone"},
		{.name = "loop", .symlink = "loop"},
	};
	auto_error struct annex_error *err = NULL;
	auto_bundle struct bundle *bundle = NULL;
	uint64_t size;

	(void)state;
	assert_int_equal(read_archive(&bundle, entries, COUNT_OF(entries), &err), 0);
	assert_contents(bundle, "a/b", "one");
	assert_contents(bundle, "./a//b", "one");
	assert_contents(bundle, "d/link", "one");
	assert_contents(bundle, "d/twice", "one");
	assert_contents(bundle, "hard", "two");
	assert_contents(bundle, "abs/e/f", "three");
	assert_contents(bundle, "a/g", "four");
	assert_int_equal(bundle_open(&size, bundle, "d/nowhere"), -ENOENT);
	assert_int_equal(bundle_open(&size, bundle, "loop"), -ELOOP);
	assert_int_equal(bundle_open(&size, bundle, "../etc/passwd"), -ENOENT);
	assert_false(bundle_has(bundle, "a"));
}

static void a_later_file_replaces_an_earlier_one(void **state)
{
	static const struct entry entries[] = {{.name = "a", .contents = "longer than the second"},
					       {.name = "a", .contents = "second"}};
	auto_bundle struct bundle *bundle = NULL;

	(void)state;
	assert_int_equal(read_archive(&bundle, entries, COUNT_OF(entries), NULL), 0);
	assert_contents(bundle, "a", "second");
}

static void names_and_links_that_lead_out_are_refused(void **state)
{
	static const struct entry entries[] = {{.name = "../a", .contents = "x"},
					       {.name = "b/../../a", .contents = "x"},
					       {.name = "a", .symlink = "../../etc/passwd"}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(entries); i++) {
		auto_error struct annex_error *err = NULL;
		auto_bundle struct bundle *bundle = NULL;

		assert_int_equal(read_archive(&bundle, &entries[i], 1, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	}
}

static int count_entries(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? -1 : (int)st.st_nlink - 2;
}

static void nothing_stays_behind_and_nothing_has_a_name_from_the_archive(void **state)
{
	static const struct entry entries[] = {{.name = "evil\n;name", .contents = "x"}};
	struct bundle *bundle = NULL;

	(void)state;
	assert_int_equal(read_archive(&bundle, entries, 1, NULL), 0);
	assert_int_equal(count_entries(folder), 1);
	assert_contents(bundle, "evil\n;name", "x");
	bundle_free(bundle);
	assert_int_equal(count_entries(folder), 0);
}

static int cancel(uint64_t done, uint64_t total, void *data)
{
	(void)done;
	(void)total;
	(*(int *)data)++;
	return 1;
}

static void reading_can_be_cancelled(void **state)
{
	static const struct entry entries[] = {{.name = "a", .contents = "x"}};
	auto_error struct annex_error *err = NULL;
	auto_close int fd = make_archive(entries, 1);
	auto_bundle struct bundle *bundle = NULL;
	int calls = 0;

	(void)state;
	assert_int_equal(bundle_from_archive(&bundle, fd, "test.tar", folder, cancel, &calls, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CANCELLED);
	assert_int_equal(calls, 1);
	assert_int_equal(count_entries(folder), 0);
}

static void a_damaged_archive_is_corrupt(void **state)
{
	static const struct entry entries[] = {{.name = "a", .contents = "some contents that are cut off"}};
	auto_error struct annex_error *err = NULL, *none = NULL;
	auto_close int fd = make_archive(entries, 1), other = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	auto_bundle struct bundle *bundle = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size / 2), 0);
	assert_int_equal(bundle_from_archive(&bundle, fd, "test.tar", folder, NULL, NULL, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	assert_non_null(strstr(annex_error_message(err), "test.tar is truncated or damaged"));
	assert_int_equal(bundle_from_archive(&bundle, other, "program", folder, NULL, NULL, &none), -1);
	assert_string_equal(annex_error_message(none), "program is not a tar archive");
	assert_int_equal(annex_error_kind(none), ANNEX_ERROR_CORRUPT);
}

static void a_folder_gives_regular_files_only(void **state)
{
	auto_free char *path = path_join(folder, "layout"), *file = path_join(folder, "layout/file"),
		       *fifo = path_join(folder, "layout/fifo");
	auto_bundle struct bundle *bundle = NULL;
	uint64_t size = 0;

	(void)state;
	assert_int_equal(file_make_folders(path, 0700), 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, file, "abc", 3, 0600), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(bundle_from_folder(&bundle, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), NULL), 0);
	assert_contents(bundle, "file", "abc");
	assert_int_equal(bundle_open(&size, bundle, "fifo"), -EINVAL);
	assert_int_equal(bundle_open(&size, bundle, "."), -EINVAL);
	assert_int_equal(bundle_open(&size, bundle, "none"), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_found_by_their_names_and_by_links),
		cmocka_unit_test(a_later_file_replaces_an_earlier_one),
		cmocka_unit_test(names_and_links_that_lead_out_are_refused),
		cmocka_unit_test(nothing_stays_behind_and_nothing_has_a_name_from_the_archive),
		cmocka_unit_test(reading_can_be_cancelled),
		cmocka_unit_test(a_damaged_archive_is_corrupt),
		cmocka_unit_test(a_folder_gives_regular_files_only),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
