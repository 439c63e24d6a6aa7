#include "test.h"
#include "folder.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/xattr.h>

static void an_atomic_write_replaces_the_whole_file(void **state)
{
	auto_free char *path = path_join(folder, "record"), *read = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(file_write_atomic(AT_FDCWD, path, "first and longer", 16, 0600), 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, "second", 6, 0600), 0);
	assert_int_equal(file_read(&read, &size, AT_FDCWD, path, 100), 0);
	assert_string_equal(read, "second");
	assert_int_equal(size, 6);
	free(read);
	read = NULL;
	assert_int_equal(file_read(&read, &size, AT_FDCWD, path, 5), -EFBIG);
}

static void a_file_that_is_replaced_keeps_what_is_known_of_it(void **state)
{
	auto_free char *path = path_join(folder, "replaced");
	char value[8] = "";
	struct stat st;

	(void)state;
	assert_int_equal(file_write_atomic(AT_FDCWD, path, "first", 5, 0600), 0);
	assert_int_equal(chmod(path, 0640), 0);
	if (setxattr(path, "user.label", "kept", 4, 0) < 0)
		skip(); /* there are none on this file system */
	assert_int_equal(file_replace(AT_FDCWD, path, "second", 6, 0600), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_size, 6);
	assert_int_equal(getxattr(path, "user.label", value, sizeof(value)), 4);
	assert_string_equal(value, "kept");
}

static void what_others_have_put_there_is_not_waited_for(void **state)
{
	auto_free char *path = path_join(folder, "others"), *link = path_join(folder, "link-to-others"), *read = NULL;

	(void)state;
	assert_int_equal(file_read_regular(&read, NULL, AT_FDCWD, path, 100), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(file_read_regular(&read, NULL, AT_FDCWD, path, 100), -EINVAL);
	assert_int_equal(file_read_regular(&read, NULL, AT_FDCWD, folder, 100), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, "text", 4, 0600), 0);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(file_read_regular(&read, NULL, AT_FDCWD, link, 100), 0);
	assert_string_equal(read, "text");
}

static void bytes_are_written_at_a_place_and_the_position_stays(void **state)
{
	auto_free char *path = path_join(folder, "place"), *read = NULL;
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600),
		       full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	size_t size = 0;

	(void)state;
	assert_int_equal(file_write_all(fd, "0123456789", 10), 0);
	assert_int_equal(file_write_at(fd, "abc", 3, 4), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 10);
	assert_int_equal(file_read(&read, &size, AT_FDCWD, path, 100), 0);
	assert_string_equal(read, "0123abc789");
	assert_int_equal(file_write_at(full, "abc", 3, 4), -ENOSPC);
}

static void a_tree_goes_but_what_its_links_point_to_stays(void **state)
{
	auto_free char *tree = path_join(folder, "tree/a/b"), *outside = path_join(folder, "outside"),
		       *link = path_join(folder, "tree/link"), *top = path_join(folder, "tree");

	(void)state;
	assert_int_equal(file_make_folders(tree, 0700), 0);
	assert_int_equal(file_make_folders(outside, 0700), 0);
	assert_int_equal(symlink(outside, link), 0);
	assert_int_equal(file_remove_tree(AT_FDCWD, top), 0);
	assert_false(file_exists(AT_FDCWD, top));
	assert_true(file_exists(AT_FDCWD, outside));
	assert_int_equal(file_remove_tree(AT_FDCWD, top), 0);
}

static void a_lock_is_held_by_one(void **state)
{
	auto_free char *path = path_join(folder, "lock");
	auto_close int first = file_lock(AT_FDCWD, path, LOCK_EX | LOCK_NB);

	(void)state;
	assert_true(first >= 0);
	assert_int_equal(file_lock(AT_FDCWD, path, LOCK_SH | LOCK_NB), -EWOULDBLOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_atomic_write_replaces_the_whole_file),
		cmocka_unit_test(a_file_that_is_replaced_keeps_what_is_known_of_it),
		cmocka_unit_test(what_others_have_put_there_is_not_waited_for),
		cmocka_unit_test(bytes_are_written_at_a_place_and_the_position_stays),
		cmocka_unit_test(a_tree_goes_but_what_its_links_point_to_stays),
		cmocka_unit_test(a_lock_is_held_by_one),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
