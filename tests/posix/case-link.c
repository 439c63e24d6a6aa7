/* Links of both kinds. */
#include "posix.h"

static void two_names_are_one_file(void)
{
	int fd;

	make_file("file", "text");
	OK(link("file", "other"));
	EQUAL(stat_of("file").st_ino, stat_of("other").st_ino);
	EQUAL(stat_of("file").st_dev, stat_of("other").st_dev);
	EQUAL(stat_of("file").st_nlink, 2);
	EQUAL(stat_of("other").st_nlink, 2);
	fd = opened("other", O_WRONLY | O_APPEND);
	EQUAL(write(fd, "more", 4), 4);
	has_text("file", "textmore");
	OK(chmod("file", 0600));
	EQUAL(mode_of("other"), 0600);
	OK(unlink("file"));
	EQUAL(stat_of("other").st_nlink, 1);
	has_text("other", "textmore");
}

static void links_to_what_cannot_be_linked_are_refused(void)
{
	make_file("file", "");
	make_file("other", "");
	make_folder("folder");
	FAILS(EPERM, link("folder", "x"));
	FAILS(EEXIST, link("file", "other"));
	FAILS(EEXIST, link("file", "folder"));
	FAILS(ENOENT, link("nothing", "x"));
	FAILS(ENOENT, link("file", "nothing/x"));
	FAILS(ENOTDIR, link("file", "other/x"));
}

static void a_link_to_a_link_is_to_the_link_itself(void)
{
	make_file("file", "text");
	OK(symlink("file", "link"));
	OK(link("link", "hard"));
	TRUE(S_ISLNK(stat_of("hard").st_mode));
	EQUAL(stat_of("hard").st_ino, stat_of("link").st_ino);
	OK(linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	EQUAL(stat_of("followed").st_ino, stat_of("file").st_ino);
}

static void a_hundred_names_are_counted(void)
{
	char name[16];

	make_file("file", "text");
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		OK(link("file", name));
	}
	EQUAL(stat_of("57").st_nlink, 101);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		OK(unlink(name));
	}
	EQUAL(stat_of("file").st_nlink, 1);
	has_text("file", "text");
}

static void a_symbolic_link_says_where_it_leads(void)
{
	char target[PATH_MAX] = "", is[PATH_MAX] = "";
	struct stat st;

	OK(symlink("../some/where", "link"));
	EQUAL(readlink("link", is, sizeof(is)), 13);
	SAME_TEXT(is, "../some/where");
	EQUAL(stat_of("link").st_size, 13);
	TRUE(S_ISLNK(stat_of("link").st_mode));
	EQUAL(mode_of("link"), 0777);
	FAILS(ENOENT, stat("link", &st));
	EQUAL(readlink("link", is, 5), 5);
	SAME(is, "../so", 5);
	memset(target, 't', PATH_MAX - 1);
	for (int i = 100; i < PATH_MAX - 2; i += 100)
		target[i] = '/';
	OK(symlink(target, "long"));
	EQUAL(readlink("long", is, sizeof(is)), PATH_MAX - 1);
	SAME(is, target, PATH_MAX - 1);
	EQUAL(stat_of("long").st_size, PATH_MAX - 1);
	OK(symlink("\xff\x01 bytes", "bytes"));
	EQUAL(readlink("bytes", is, sizeof(is)), 8);
	SAME(is, "\xff\x01 bytes", 8);
}

static void a_target_that_is_too_long_or_empty_is_refused(void)
{
	char target[PATH_MAX + 1];
	char is[8];

	memset(target, 't', PATH_MAX);
	target[PATH_MAX] = '\0';
	FAILS(ENAMETOOLONG, symlink(target, "link"));
	FAILS(ENOENT, symlink("", "link"));
	make_file("file", "");
	FAILS(EEXIST, symlink("x", "file"));
	FAILS(EINVAL, readlink("file", is, sizeof(is)));
	FAILS(EINVAL, readlink(".", is, sizeof(is)));
}

static void links_that_lead_in_circles_are_noticed(void)
{
	struct stat st;

	OK(symlink("b", "a"));
	OK(symlink("a", "b"));
	OK(symlink("self", "self"));
	FAILS(ELOOP, stat("a", &st));
	FAILS(ELOOP, open("b", O_RDONLY));
	FAILS(ELOOP, open("self", O_CREAT | O_RDWR, 0644));
	FAILS(ELOOP, chdir("self"));
	FAILS(ELOOP, stat("self/x", &st));
	OK(lstat("a", &st));
}

static void links_are_followed_up_to_40_times(void)
{
	char name[16], target[16] = "file";
	struct stat st;

	make_file("file", "text");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "%d", i);
		OK(symlink(target, name));
		strcpy(target, name);
	}
	has_text("40", "text");
	FAILS(ELOOP, stat("41", &st));
}

static void links_to_folders_are_gone_through(void)
{
	make_folder("folder");
	make_folder("folder/sub");
	OK(symlink("folder/sub", "link"));
	make_file("link/file", "text");
	has_text("folder/sub/file", "text");
	OK(symlink("../sub/file", "folder/sub/self"));
	has_text("link/self", "text");
	FAILS(ENOTDIR, rmdir("link"));
	OK(unlink("link"));
	EQUAL(names_in("folder/sub"), 2);
}

static void a_link_changes_its_target_when_it_is_made_anew(void)
{
	char is[16];

	for (int i = 0; i < 20; i++) {
		char target[16];

		snprintf(target, sizeof(target), "%d", i);
		OK(symlink(target, "new"));
		OK(rename("new", "link"));
		memset(is, 0, sizeof(is));
		OK(readlink("link", is, sizeof(is) - 1));
		SAME_TEXT(is, target);
	}
}

static const struct posix_case cases[] = {
	CASE(two_names_are_one_file),
	CASE(links_to_what_cannot_be_linked_are_refused),
	CASE(a_link_to_a_link_is_to_the_link_itself),
	CASE(a_hundred_names_are_counted),
	CASE(a_symbolic_link_says_where_it_leads),
	CASE(a_target_that_is_too_long_or_empty_is_refused),
	CASE(links_that_lead_in_circles_are_noticed),
	CASE(links_are_followed_up_to_40_times),
	CASE(links_to_folders_are_gone_through),
	CASE(a_link_changes_its_target_when_it_is_made_anew),
};
GROUP(link);
