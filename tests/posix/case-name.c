/* What names and paths may be. */
#include "posix.h"

static void fill(char *name, size_t size, char with)
{
	memset(name, with, size);
	name[size] = '\0';
}

static void a_name_has_up_to_255_bytes(void)
{
	char longest[256], other[256];

	fill(longest, 255, 'x');
	fill(other, 255, 'y');
	make_file(longest, "text");
	has_text(longest, "text");
	OK(rename(longest, other));
	OK(link(other, longest));
	OK(unlink(other));
	OK(symlink(longest, other));
	has_text(other, "text");
	EQUAL(names_in("."), 2);
	OK(unlink(longest));
	OK(unlink(other));
	make_folder(longest);
	OK(rmdir(longest));
}

static void a_name_of_256_bytes_is_too_long_for_every_call(void)
{
	char name[257];
	struct stat st;

	fill(name, 256, 'x');
	make_file("file", "");
	FAILS(ENAMETOOLONG, open(name, O_RDONLY));
	FAILS(ENAMETOOLONG, open(name, O_CREAT | O_RDWR, 0644));
	FAILS(ENAMETOOLONG, stat(name, &st));
	FAILS(ENAMETOOLONG, mkdir(name, 0755));
	FAILS(ENAMETOOLONG, mkfifo(name, 0644));
	FAILS(ENAMETOOLONG, symlink("file", name));
	FAILS(ENAMETOOLONG, link("file", name));
	FAILS(ENAMETOOLONG, rename("file", name));
	FAILS(ENAMETOOLONG, rename(name, "file"));
	FAILS(ENAMETOOLONG, unlink(name));
	FAILS(ENAMETOOLONG, rmdir(name));
	FAILS(ENAMETOOLONG, chmod(name, 0644));
	FAILS(ENAMETOOLONG, truncate(name, 0));
}

static void a_path_has_up_to_4095_bytes(void)
{
	char part[201], path[PATH_MAX + 300] = "";
	size_t size = 0;
	struct stat st;

	fill(part, 199, 'p');
	for (; size < 4000; size += 200) {
		sprintf(path + size, "%s/", part);
		make_folder(path);
	}
	fill(part, 94, 'f');
	sprintf(path + size, "%s", part);
	EQUAL(strlen(path), 4094);
	make_file(path, "deep");
	has_text(path, "deep");
	OK(unlink(path));
	sprintf(path + size, "%s", part);
	strcat(path, "f");
	EQUAL(strlen(path), 4095);
	make_file(path, "deepest");
	has_text(path, "deepest");
	OK(stat(path, &st));
	OK(unlink(path));
	strcat(path, "f");
	FAILS(ENAMETOOLONG, open(path, O_CREAT | O_RDWR, 0644));
	fill(part, 199, 'p');
	remove_tree(part); /* while its path is short enough */
}

static void deeper_than_any_path_is_possible_step_by_step(void)
{
	char name[201];
	int fds[30];

	fill(name, 200, 'd');
	fds[0] = opened(".", O_RDONLY | O_DIRECTORY);
	for (int i = 1; i < 30; i++) {
		OK(mkdirat(fds[i - 1], name, 0755));
		fds[i] = (int)OK(openat(fds[i - 1], name, O_RDONLY | O_DIRECTORY));
	}
	OK(close((int)OK(openat(fds[29], "file", O_CREAT | O_RDWR, 0644))));
	OK(unlinkat(fds[29], "file", 0));
	for (int i = 29; i > 0; i--)
		OK(unlinkat(fds[i - 1], name, AT_REMOVEDIR));
}

static void names_are_bytes(void)
{
	static const char *const names[] = {
		"\xff\xfe not UTF-8 \x80",
		"new\nline",
		"tab\there",
		"back\\slash",
		"quote'\"",
		" ",
		"...",
		"*?[",
		"\xc3\xa4",
		"a\xcc\x88",
		"-rf",
		"\x01",
		"con",
		"name.",
		"name ",
		".hidden",
		":",
		"user.annex.owner",
	};
	DIR *entries;
	struct dirent *entry;
	unsigned found = 0;

	for (size_t i = 0; i < COUNT_OF(names); i++)
		make_file(names[i], names[i]);
	EQUAL(names_in("."), COUNT_OF(names));
	entries = opendir(".");
	while ((entry = readdir(entries))) {
		for (size_t i = 0; i < COUNT_OF(names); i++)
			found += strcmp(entry->d_name, names[i]) == 0;
	}
	EQUAL(found, COUNT_OF(names));
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		has_text(names[i], names[i]);
		OK(unlink(names[i]));
	}
}

static void case_tells_names_apart(void)
{
	make_file("name", "small");
	make_file("NAME", "large");
	make_file("Name", "mixed");
	has_text("name", "small");
	has_text("NAME", "large");
	EQUAL(names_in("."), 3);
}

static void dots_are_no_names_to_make_or_remove(void)
{
	make_folder("folder");
	FAILS(EEXIST, mkdir(".", 0755));
	FAILS(EEXIST, mkdir("folder/..", 0755));
	FAILS(EINVAL, rmdir("folder/."));
	FAILS(ENOTEMPTY, rmdir("folder/.."));
	FAILS(EISDIR, unlink("folder/.."));
	FAILS2(EBUSY, EINVAL, rename("folder/.", "other"));
	FAILS2(EBUSY, EINVAL, rename("folder", "folder/.."));
	FAILS(EEXIST, symlink("x", "folder/.."));
	FAILS(ENOENT, mkdir("", 0755));
	FAILS(ENOENT, unlink(""));
	TRUE(S_ISDIR(stat_of("folder/.").st_mode));
	EQUAL(stat_of("folder/..").st_ino, stat_of(".").st_ino);
}

static void a_slash_at_the_end_means_a_folder(void)
{
	struct stat st;

	make_file("file", "");
	OK(symlink("folder", "link"));
	OK(mkdir("folder/", 0755));
	OK(stat("folder/", &st));
	OK(lstat("link/", &st));
	TRUE(S_ISDIR(st.st_mode));
	FAILS(ENOTDIR, stat("file/", &st));
	FAILS(ENOTDIR, unlink("file/"));
	FAILS(ENOTDIR, rename("file", "moved/"));
	FAILS(ENOTDIR, rmdir("link/"));
	OK(rename("folder/", "moved/"));
	OK(rmdir("moved/"));
}

static void a_file_is_no_folder(void)
{
	struct stat st;

	make_file("file", "");
	FAILS(ENOTDIR, stat("file/x", &st));
	FAILS(ENOTDIR, mkdir("file/x", 0755));
	FAILS(ENOTDIR, unlink("file/x"));
	FAILS(ENOTDIR, rename("file/x", "y"));
	FAILS(ENOTDIR, rmdir("file"));
	FAILS(ENOTDIR, chdir("file"));
	TRUE(opendir("file") == NULL && errno == ENOTDIR);
}

static void a_folder_that_is_closed_hides_what_is_in_it(void)
{
	struct stat st;

	make_folder("folder");
	make_file("folder/file", "text");
	OK(chmod("folder", 0600));
	FAILS(EACCES, stat("folder/file", &st));
	FAILS(EACCES, open("folder/new", O_CREAT | O_RDWR, 0644));
	EQUAL(names_in("folder"), 1);
	OK(chmod("folder", 0300));
	has_text("folder/file", "text");
	TRUE(opendir("folder") == NULL && errno == EACCES);
	OK(chmod("folder", 0500));
	FAILS(EACCES, unlink("folder/file"));
	FAILS(EACCES, mkdir("folder/x", 0755));
	FAILS(EACCES, rename("folder/file", "file"));
	FAILS(EACCES, link("folder/file", "folder/other"));
	FAILS(EACCES, symlink("x", "folder/x"));
	OK(chmod("folder", 0700));
}

static void no_folder_is_closed_to_root(void)
{
	make_folder("folder");
	make_file("folder/file", "text");
	OK(chmod("folder", 0));
	has_text("folder/file", "text");
	make_file("folder/new", "new");
	EQUAL(names_in("folder"), 2);
	OK(rename("folder/new", "folder/renamed"));
	OK(rename("folder/renamed", "out"));
	OK(rename("out", "folder/in"));
	OK(link("folder/in", "folder/linked"));
	OK(symlink("x", "folder/x"));
	OK(mkdir("folder/sub", 0));
	make_file("folder/sub/file", "deep");
	has_text("folder/sub/file", "deep");
	EQUAL(stat_of("folder/linked").st_nlink, 2);
	OK(unlink("folder/linked"));
	OK(unlink("folder/sub/file"));
	OK(rmdir("folder/sub"));
	EQUAL(mode_of("folder"), 0);
}

static const struct posix_case cases[] = {
	CASE(a_name_has_up_to_255_bytes),
	CASE(a_name_of_256_bytes_is_too_long_for_every_call),
	CASE(a_path_has_up_to_4095_bytes),
	CASE(deeper_than_any_path_is_possible_step_by_step),
	CASE(names_are_bytes),
	CASE(case_tells_names_apart),
	CASE(dots_are_no_names_to_make_or_remove),
	CASE(a_slash_at_the_end_means_a_folder),
	CASE(a_file_is_no_folder),
	CASE_FOR(FOR_USER, a_folder_that_is_closed_hides_what_is_in_it),
	CASE_FOR(FOR_ROOT, no_folder_is_closed_to_root),
};
GROUP(name);
