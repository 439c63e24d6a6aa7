/* What goes, and what stays of it. */
#include "posix.h"

static void a_file_that_is_removed_while_open_lives_on(void)
{
	char text[16] = "", path[64];
	int fd, again;

	make_file("file", "text");
	fd = opened("file", O_RDWR);
	OK(unlink("file"));
	is_missing("file");
	EQUAL(names_in("."), 0);
	EQUAL(stat_of_fd(fd).st_nlink, 0);
	EQUAL(stat_of_fd(fd).st_size, 4);
	EQUAL(pwrite(fd, "more", 4, 4), 4);
	EQUAL(pread(fd, text, 16, 0), 8);
	SAME_TEXT(text, "textmore");
	OK(ftruncate(fd, 2));
	OK(fchmod(fd, 0600));
	EQUAL(stat_of_fd(fd).st_mode & 07777, 0600);
	EQUAL(stat_of_fd(fd).st_size, 2);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = opened(path, O_RDONLY);
	EQUAL(read(again, text, 16), 2);
	FAILS(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	OK(fsync(fd));
	OK(futimens(fd, NULL));
}

static void a_name_that_was_removed_can_be_made_anew(void)
{
	char text[8] = "";
	int old, new;

	make_file("file", "old");
	old = opened("file", O_RDWR);
	OK(unlink("file"));
	new = (int)OK(open("file", O_CREAT | O_EXCL | O_RDWR, 0644));
	EQUAL(write(new, "new", 3), 3);
	TRUE(stat_of_fd(old).st_ino != stat_of_fd(new).st_ino);
	EQUAL(pread(old, text, 8, 0), 3);
	SAME_TEXT(text, "old");
	has_text("file", "new");
	for (int i = 0; i < 30; i++) {
		OK(unlink("file"));
		is_missing("file");
		make_file("file", "again");
		has_text("file", "again");
	}
	EQUAL(pread(old, text, 8, 0), 3);
	SAME_TEXT(text, "old");
}

static void removing_what_cannot_be_removed_fails(void)
{
	make_folder("folder");
	make_file("folder/file", "");
	make_file("file", "");
	FAILS(EISDIR, unlink("folder"));
	FAILS(ENOTDIR, rmdir("file"));
	FAILS2(ENOTEMPTY, EEXIST, rmdir("folder"));
	FAILS(ENOENT, unlink("nothing"));
	FAILS(ENOENT, rmdir("nothing"));
	FAILS(ENOTDIR, unlink("file/x"));
	OK(unlinkat(AT_FDCWD, "folder/file", 0));
	OK(unlinkat(AT_FDCWD, "folder", AT_REMOVEDIR));
}

static void a_folder_that_is_removed_while_in_use_is_empty(void)
{
	struct stat st;
	int fd;

	make_folder("folder");
	fd = opened("folder", O_RDONLY | O_DIRECTORY);
	OK(fchdir(fd));
	OK(rmdir("../folder"));
	EQUAL(stat_of_fd(fd).st_nlink, 0);
	FAILS(ENOENT, open("file", O_CREAT | O_RDWR, 0644));
	FAILS(ENOENT, mkdir("x", 0755));
	FAILS(ENOENT, stat("x", &st));
	FAILS(ENOENT, openat(fd, "x", O_RDONLY));
	OK(fchdir(opened("..", O_RDONLY)));
}

static void a_link_is_removed_and_not_what_it_leads_to(void)
{
	make_file("file", "text");
	OK(symlink("file", "link"));
	OK(symlink("nothing", "dangling"));
	OK(unlink("link"));
	OK(unlink("dangling"));
	has_text("file", "text");
	EQUAL(names_in("."), 1);
}

static void what_one_process_holds_another_may_remove(void)
{
	struct turns to_child = turns_make(), to_parent = turns_make();
	char text[8] = "";
	pid_t pid;

	make_file("file", "text");
	pid = child_start();
	if (pid == 0) {
		int fd = opened("file", O_RDWR);

		turn_give(&to_parent);
		turn_wait(&to_child);
		EQUAL(stat_of_fd(fd).st_nlink, 0);
		EQUAL(pwrite(fd, "more", 4, 4), 4);
		EQUAL(pread(fd, text, 8, 0), 8);
		SAME(text, "textmore", 8);
		child_end();
	}
	turn_wait(&to_parent);
	OK(unlink("file"));
	turn_give(&to_child);
	child_wait(pid);
	is_missing("file");
}

static void a_tree_goes_from_below(void)
{
	char path[64] = "tree", name[80];

	make_folder(path);
	for (int i = 0; i < 12; i++) {
		strcat(path, "/d");
		make_folder(path);
		snprintf(name, sizeof(name), "%s/f", path);
		make_file(name, "");
		snprintf(name, sizeof(name), "%s/l", path);
		OK(symlink("f", name));
	}
	remove_tree("tree");
	is_missing("tree");
}

static const struct posix_case cases[] = {
	CASE(a_file_that_is_removed_while_open_lives_on),
	CASE(a_name_that_was_removed_can_be_made_anew),
	CASE(removing_what_cannot_be_removed_fails),
	CASE(a_folder_that_is_removed_while_in_use_is_empty),
	CASE(a_link_is_removed_and_not_what_it_leads_to),
	CASE(what_one_process_holds_another_may_remove),
	CASE(a_tree_goes_from_below),
};
GROUP(remove);
