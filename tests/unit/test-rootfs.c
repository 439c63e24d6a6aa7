#include "test.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "rootfs/rootfs.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static char folder[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/annex-test?XXXXXX"); /* libext2fs takes options from behind a question mark */
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return file_remove_tree(AT_FDCWD, folder);
}

static void add(struct archive *archive, const char *path, uint32_t mode, const char *text)
{
	struct archive_entry *entry = archive_entry_new();

	archive_entry_set_pathname(entry, path);
	archive_entry_set_mode(entry, mode);
	if (S_ISLNK(mode))
		archive_entry_set_symlink(entry, text);
	else if (S_ISREG(mode))
		archive_entry_set_size(entry, (la_int64_t)strlen(text));
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	if (S_ISREG(mode))
		archive_write_data(archive, text, strlen(text));
	archive_entry_free(entry);
}

static int make_layer(void)
{
	struct archive *archive = archive_write_new();
	int fd = memfd_create("layer", MFD_CLOEXEC);
	char far[100];

	memset(far, '.', sizeof(far));
	snprintf(far, sizeof(far), "/%.80s/../usr/sbin/init",
		 "./././././././././././././././././././././././././././././././././././././././.");
	archive_write_set_format_pax(archive);
	archive_write_open_fd(archive, fd);
	add(archive, "usr/lib/systemd/systemd", S_IFREG | 0755, "#!/bin/true\n");
	add(archive, "sbin", S_IFLNK, "usr/sbin");
	add(archive, "usr/sbin/init", S_IFLNK, "../lib/systemd/systemd");
	add(archive, "abs", S_IFLNK, "/usr/lib/../sbin/init");
	add(archive, "up", S_IFLNK, "../../../usr");
	add(archive, "long", S_IFLNK, far);
	add(archive, "loop", S_IFLNK, "loop");
	add(archive, "dangling", S_IFLNK, "nowhere/x");
	add(archive, "empty", S_IFREG | 0600, "");
	archive_write_close(archive);
	archive_write_free(archive);
	return fd;
}

static char *build(const char *name)
{
	char *path = path_join(folder, name);
	auto_close int fd = make_layer(), index = memfd_create("index", MFD_CLOEXEC);
	auto_close int disk = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_error struct annex_error *error = NULL;
	char digest[DIGEST_TEXT], by_fd[32];
	struct rootfs_layer layer = {.fd = fd, .index = index, .digest = digest, .diff_id = digest};
	uint64_t size = 0;
	struct stat st;

	snprintf(by_fd, sizeof(by_fd), "/proc/self/fd/%d", fd);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(digest_of_file(digest, AT_FDCWD, by_fd), 0);
	layer.size = (uint64_t)st.st_size;
	assert_int_equal(rootfs_build(disk, &layer, 1, NULL, &size, &error), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(size, st.st_size);
	return path;
}

static void assert_resolves(struct rootfs *rootfs, const char *path, const char *expected, uint32_t expected_mode)
{
	auto_free char *found = NULL;
	uint32_t mode = 0;

	assert_int_equal(rootfs_resolve(rootfs, path, &found, &mode), 0);
	assert_string_equal(found, expected);
	assert_int_equal(mode, expected_mode);
}

static void paths_are_resolved_within_the_image(void **state)
{
	auto_free char *image = build("resolve");
	auto_rootfs struct rootfs *rootfs = NULL;
	static const char init[] = "/usr/lib/systemd/systemd";

	(void)state;
	assert_int_equal(rootfs_open(&rootfs, image, NULL), 0);
	assert_resolves(rootfs, init, init, S_IFREG | 0755);
	assert_resolves(rootfs, "/sbin/init", init, S_IFREG | 0755);
	assert_resolves(rootfs, "sbin//./init", init, S_IFREG | 0755);
	assert_resolves(rootfs, "/abs", init, S_IFREG | 0755);
	assert_resolves(rootfs, "/up/lib/systemd", "/usr/lib/systemd", S_IFDIR | 0755);
	assert_resolves(rootfs, "/long", init, S_IFREG | 0755);
	assert_resolves(rootfs, "/", "/", S_IFDIR | 0755);
	assert_resolves(rootfs, "../../usr/..", "/", S_IFDIR | 0755);
	assert_int_equal(rootfs_resolve(rootfs, "/sbin/init", NULL, NULL), 0);
}

static void what_is_not_there_is_told_apart(void **state)
{
	auto_free char *image = build("missing");
	auto_rootfs struct rootfs *rootfs = NULL;

	(void)state;
	assert_int_equal(rootfs_open(&rootfs, image, NULL), 0);
	assert_int_equal(rootfs_resolve(rootfs, "/bin/sh", NULL, NULL), -ENOENT);
	assert_int_equal(rootfs_resolve(rootfs, "/dangling", NULL, NULL), -ENOENT);
	assert_int_equal(rootfs_resolve(rootfs, "/empty/x", NULL, NULL), -ENOTDIR);
	assert_int_equal(rootfs_resolve(rootfs, "/loop", NULL, NULL), -ELOOP);
}

static void files_are_read_up_to_a_limit(void **state)
{
	auto_free char *image = build("read"), *bytes = NULL, *nothing = NULL, *none = NULL;
	auto_error struct annex_error *large = NULL, *missing = NULL, *wrong = NULL;
	auto_rootfs struct rootfs *rootfs = NULL;
	size_t size = 1;

	(void)state;
	assert_int_equal(rootfs_open(&rootfs, image, NULL), 0);
	assert_int_equal(rootfs_read_file(rootfs, &bytes, &size, "/sbin/init", 12, NULL), 0);
	assert_string_equal(bytes, "#!/bin/true\n");
	assert_int_equal(size, 12);
	assert_int_equal(rootfs_read_file(rootfs, &nothing, &size, "/empty", 0, NULL), 0);
	assert_int_equal(size, 0);
	assert_int_equal(rootfs_read_file(rootfs, &none, &size, "/sbin/init", 11, &large), -1);
	assert_int_equal(annex_error_kind(large), ANNEX_ERROR_CORRUPT);
	assert_int_equal(rootfs_read_file(rootfs, &none, &size, "/etc/os-release", 100, &missing), -1);
	assert_int_equal(annex_error_kind(missing), ANNEX_ERROR_NOT_FOUND);
	assert_int_equal(rootfs_read_file(rootfs, &none, &size, "/usr", 100000, &wrong), -1);
	assert_int_equal(annex_error_kind(wrong), ANNEX_ERROR_CORRUPT);
}

static void what_is_no_file_system_is_refused(void **state)
{
	auto_free char *path = path_join(folder, "alien");
	auto_error struct annex_error *error = NULL, *missing = NULL;
	struct rootfs *rootfs = NULL;
	static const char zeros[8192];

	(void)state;
	assert_int_equal(file_write_atomic(AT_FDCWD, path, zeros, sizeof(zeros), 0600), 0);
	assert_int_equal(rootfs_open(&rootfs, path, &error), -1);
	assert_non_null(strstr(annex_error_message(error), "alien"));
	assert_int_equal(rootfs_open(&rootfs, "/nonexistent", &missing), -1);
	assert_int_equal(annex_error_kind(missing), ANNEX_ERROR_SYSTEM);
	assert_int_equal(annex_error_errno(missing), ENOENT);
}

/* A download that stalls must not keep a cancelled build from ending. */
static int cancel(const uint64_t *done, size_t count, void *data)
{
	return count == 1 && done[0] == 0 && ++*(int *)data == 3;
}

static void a_build_from_a_silent_pipe_can_be_cancelled(void **state)
{
	auto_close int disk = memfd_create("disk", MFD_CLOEXEC), index = memfd_create("index", MFD_CLOEXEC);
	auto_error struct annex_error *error = NULL;
	struct rootfs_layer layer = {.digest = "sha256:", .diff_id = "sha256:", .size = 1000, .index = index};
	uint64_t size = 0;
	int ends[2], calls = 0;
	const struct rootfs_events events = {.progress = cancel, .data = &calls};

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	layer.fd = ends[0];
	assert_int_equal(rootfs_build(disk, &layer, 1, &events, &size, &error), -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_CANCELLED);
	assert_int_equal(calls, 3);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_resolved_within_the_image),
		cmocka_unit_test(what_is_not_there_is_told_apart),
		cmocka_unit_test(files_are_read_up_to_a_limit),
		cmocka_unit_test(what_is_no_file_system_is_refused),
		cmocka_unit_test(a_build_from_a_silent_pipe_can_be_cancelled),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
