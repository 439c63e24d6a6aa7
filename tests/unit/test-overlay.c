#include "test.h"
#include "folder.h"

#include "base/file.h"
#include "base/text.h"
#include "rootfs/overlay.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A base of 1 MiB in FOLDER/images, and the folder of a machine beside it. */
static char *make_base(void)
{
	auto_free char *images = path_join(folder, "images"), *machine = path_join(folder, "machine");
	char *base = path_join(folder, "images/base.ext4");
	auto_close int fd = -1;

	assert_int_equal(file_make_folders(images, 0700), 0);
	assert_int_equal(file_make_folders(machine, 0700), 0);
	fd = open(base, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	return base;
}

static void assert_relative(const char *from, const char *to, const char *expected)
{
	auto_free char *made = overlay_relative(from, to);

	assert_string_equal(made, expected);
}

static void the_base_is_named_from_the_folder_of_the_overlay(void **state)
{
	(void)state;
	assert_relative("/a/machines/m", "/a/images/x.ext4", "../../images/x.ext4");
	assert_relative("/a", "/a/x", "x");
	assert_relative("/a", "/ab/x", "../ab/x");
	assert_relative("/ab", "/a/x", "../a/x");
	assert_relative("/a/b", "/a/x", "../x");
	assert_relative("/", "/a/x", "a/x");
	assert_relative("/a", "/x", "../x");
	assert_relative("/a", "/a/json:x", "./json:x");
}

static void a_disk_is_made_and_grows(void **state)
{
	auto_free char *base = make_base(), *disk = path_join(folder, "machine/disk.qcow2");
	auto_error struct annex_error *error = NULL, *shrink = NULL, *again = NULL;
	uint64_t virtual_size = 0, used = 0;
	struct stat st;

	(void)state;
	assert_int_equal(overlay_create(disk, base, UINT64_C(64) << 30, &error), 0);
	assert_int_equal(overlay_info(&virtual_size, &used, disk, &error), 0);
	assert_int_equal(virtual_size, UINT64_C(64) << 30);
	assert_int_equal(stat(disk, &st), 0);
	assert_int_equal(used, (uint64_t)st.st_blocks * 512);
	assert_in_range(used, 1, 4 << 20);
	assert_int_equal(overlay_create(disk, base, UINT64_C(64) << 30, &again), -1);
	assert_int_equal(annex_error_kind(again), ANNEX_ERROR_EXISTS);
	assert_int_equal(overlay_grow(disk, UINT64_C(128) << 30, &error), 0);
	assert_int_equal(overlay_info(&virtual_size, NULL, disk, &error), 0);
	assert_int_equal(virtual_size, UINT64_C(128) << 30);
	assert_int_equal(overlay_grow(disk, UINT64_C(127) << 30, &shrink), -1);
	assert_int_equal(annex_error_kind(shrink), ANNEX_ERROR_USAGE);
}

static void the_data_folder_can_be_moved(void **state)
{
	auto_free char *base = make_base(), *disk = path_join(folder, "machine/moved.qcow2"), *bytes = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(overlay_create(disk, base, 2 << 20, NULL), 0);
	assert_int_equal(file_read(&bytes, &size, AT_FDCWD, disk, 4 << 20), 0);
	assert_non_null(memmem(bytes, size, "../images/base.ext4", 19));
	assert_null(memmem(bytes, size, folder, strlen(folder)));
}

static void a_disk_below_its_base_is_refused(void **state)
{
	auto_free char *base = make_base(), *disk = path_join(folder, "machine/small.qcow2");
	auto_error struct annex_error *error = NULL;

	(void)state;
	assert_int_equal(overlay_create(disk, base, (1 << 20) - 512, &error), -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_USAGE);
	assert_non_null(annex_error_hint(error));
	assert_false(file_exists(AT_FDCWD, disk));
}

static void without_qemu_img_there_is_a_hint(void **state)
{
	auto_free char *base = make_base(), *disk = path_join(folder, "machine/none.qcow2"), *path = NULL;
	auto_error struct annex_error *error = NULL;
	const char *was = getenv("PATH");
	int result;

	(void)state;
	path = strdup(was ? was : "/usr/bin:/bin");
	setenv("PATH", folder, 1);
	result = overlay_create(disk, base, 2 << 20, &error);
	setenv("PATH", path, 1);
	assert_int_equal(result, -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_NOT_FOUND);
	assert_non_null(strstr(annex_error_hint(error), "qemu"));
	assert_false(file_exists(AT_FDCWD, disk));
}

static void what_is_not_a_qcow2_file_is_refused(void **state)
{
	auto_free char *path = path_join(folder, "alien");
	auto_error struct annex_error *error = NULL;
	static const char zeros[100];

	(void)state;
	assert_int_equal(file_write_atomic(AT_FDCWD, path, zeros, sizeof(zeros), 0600), 0);
	assert_int_equal(overlay_info(NULL, NULL, path, &error), -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_CORRUPT);
	annex_error_free(TAKE(error));
	assert_int_equal(file_write_atomic(AT_FDCWD, path, "QFI\xfb", 4, 0600), 0);
	assert_int_equal(overlay_info(NULL, NULL, path, &error), -1);
	assert_int_equal(annex_error_kind(error), ANNEX_ERROR_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_base_is_named_from_the_folder_of_the_overlay),
		cmocka_unit_test(a_disk_is_made_and_grows),
		cmocka_unit_test(the_data_folder_can_be_moved),
		cmocka_unit_test(a_disk_below_its_base_is_refused),
		cmocka_unit_test(without_qemu_img_there_is_a_hint),
		cmocka_unit_test(what_is_not_a_qcow2_file_is_refused),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
