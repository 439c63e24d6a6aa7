/* Every way in which a name becomes another. */
#include "posix.h"

#define NOREPLACE 1u /* <linux/fs.h> */
#define EXCHANGE  2u

static void a_file_is_renamed(void)
{
	ino_t ino;

	make_file("file", "text");
	ino = stat_of("file").st_ino;
	OK(rename("file", "other"));
	is_missing("file");
	has_text("other", "text");
	EQUAL(stat_of("other").st_ino, ino);
	make_folder("folder");
	OK(rename("other", "folder/other"));
	is_missing("other");
	has_text("folder/other", "text");
	EQUAL(stat_of("folder/other").st_ino, ino);
	FAILS(ENOENT, rename("file", "x"));
	FAILS(ENOENT, rename("folder/other", "nothing/x"));
}

static void a_file_takes_the_place_of_another(void)
{
	int fd;
	char text[8] = "";

	make_file("file", "new");
	make_file("other", "old");
	OK(link("other", "kept"));
	fd = opened("other", O_RDWR);
	OK(rename("file", "other"));
	has_text("other", "new");
	is_missing("file");
	EQUAL(stat_of("kept").st_nlink, 1);
	EQUAL(read(fd, text, 8), 3);
	SAME_TEXT(text, "old");
	EQUAL(stat_of_fd(fd).st_ino, stat_of("kept").st_ino);
	has_text("kept", "old");
}

static void what_is_replaced_while_open_lives_on(void)
{
	char text[8] = "";
	int fd;

	make_file("file", "new");
	make_file("other", "old");
	fd = opened("other", O_RDWR);
	OK(rename("file", "other"));
	EQUAL(stat_of_fd(fd).st_nlink, 0);
	EQUAL(pwrite(fd, "more", 4, 3), 4);
	EQUAL(pread(fd, text, 7, 0), 7);
	SAME_TEXT(text, "oldmore");
	has_text("other", "new");
}

static void a_name_for_itself_changes_nothing(void)
{
	make_file("file", "text");
	OK(link("file", "other"));
	OK(rename("file", "file"));
	OK(rename("file", "other")); /* both are the same file: both stay */
	has_text("file", "text");
	has_text("other", "text");
	EQUAL(stat_of("file").st_nlink, 2);
}

static void a_folder_is_renamed_with_what_is_in_it(void)
{
	int folder, file;
	char text[8] = "";

	make_folder("folder");
	make_folder("folder/sub");
	make_file("folder/sub/file", "text");
	folder = opened("folder/sub", O_RDONLY | O_DIRECTORY);
	file = opened("folder/sub/file", O_RDWR);
	OK(rename("folder", "moved"));
	is_missing("folder");
	has_text("moved/sub/file", "text");
	make_folder("far");
	OK(rename("moved/sub", "far/sub"));
	has_text("far/sub/file", "text");
	EQUAL(stat_of("far/sub/..").st_ino, stat_of("far").st_ino);
	EQUAL(pread(file, text, 8, 0), 4);
	OK(faccessat(folder, "file", F_OK, 0));
	OK(close((int)OK(openat(folder, "new", O_CREAT | O_RDWR, 0644))));
	TRUE(is_there("far/sub/new"));
}

static void a_folder_takes_the_place_of_an_empty_one_only(void)
{
	make_folder("folder");
	make_file("folder/file", "text");
	make_folder("empty");
	make_folder("full");
	make_file("full/file", "");
	OK(rename("folder", "empty"));
	has_text("empty/file", "text");
	is_missing("folder");
	FAILS2(ENOTEMPTY, EEXIST, rename("empty", "full"));
	has_text("empty/file", "text");
}

static void a_folder_and_a_file_do_not_replace_each_other(void)
{
	make_folder("folder");
	make_file("file", "text");
	OK(symlink("folder", "link"));
	FAILS(ENOTDIR, rename("folder", "file"));
	FAILS(EISDIR, rename("file", "folder"));
	FAILS(ENOTDIR, rename("folder", "link"));
	OK(rename("file", "link"));
	TRUE(S_ISREG(stat_of("link").st_mode));
}

static void a_folder_cannot_move_into_itself(void)
{
	make_folder("folder");
	make_folder("folder/sub");
	FAILS(EINVAL, rename("folder", "folder/x"));
	FAILS(EINVAL, rename("folder", "folder/sub/x"));
	FAILS(ENOTEMPTY, rename("folder/sub", "folder"));
	FAILS(EINVAL, rename_with("folder", "folder/sub", EXCHANGE));
}

static void links_are_renamed_and_not_what_they_lead_to(void)
{
	char target[8] = "";

	make_file("file", "text");
	make_file("other", "other");
	OK(symlink("file", "link"));
	OK(rename("link", "other"));
	EQUAL(readlink("other", target, 8), 4);
	has_text("other", "text");
	OK(rename("file", "moved"));
	is_missing("file");
	FAILS(ENOENT, open("other", O_RDONLY));
}

static void nothing_is_replaced_where_that_is_asked(void)
{
	make_file("file", "text");
	make_file("other", "other");
	FAILS(EEXIST, rename_with("file", "other", NOREPLACE));
	FAILS(EEXIST, rename_with("file", "file", NOREPLACE));
	has_text("file", "text");
	has_text("other", "other");
	OK(rename_with("file", "new", NOREPLACE));
	has_text("new", "text");
	is_missing("file");
}

static void two_names_are_exchanged(void)
{
	ino_t file, folder;

	make_file("file", "text");
	make_folder("folder");
	make_file("folder/inside", "inside");
	file = stat_of("file").st_ino;
	folder = stat_of("folder").st_ino;
	OK(rename_with("file", "folder", EXCHANGE));
	EQUAL(stat_of("file").st_ino, folder);
	EQUAL(stat_of("folder").st_ino, file);
	has_text("folder", "text");
	has_text("file/inside", "inside");
	make_folder("sub");
	OK(rename("folder", "sub/x"));
	OK(rename_with("file", "sub/x", EXCHANGE));
	has_text("file", "text");
	has_text("sub/x/inside", "inside");
	FAILS(ENOENT, rename_with("file", "nothing", EXCHANGE));
	FAILS(EINVAL, rename_with("file", "sub", EXCHANGE | NOREPLACE));
	FAILS(EINVAL, rename_with("file", "other", 64));
}

static void counts_of_links_follow_folders(void)
{
	nlink_t empty;

	make_folder("from");
	make_folder("to");
	empty = stat_of("to").st_nlink;
	if (empty != 2)
		skip("folders' links aren't counted");
	make_folder("from/sub");
	EQUAL(stat_of("from").st_nlink, 3);
	OK(rename("from/sub", "to/sub"));
	EQUAL(stat_of("from").st_nlink, 2);
	EQUAL(stat_of("to").st_nlink, 3);
	OK(rmdir("to/sub"));
	EQUAL(stat_of("to").st_nlink, 2);
}

static void many_renames_leave_one_name(void)
{
	char from[16] = "0", to[16];

	make_file(from, "text");
	for (int i = 1; i < 100; i++) {
		snprintf(to, sizeof(to), "%d", i);
		OK(rename(from, to));
		has_text(to, "text");
		strcpy(from, to);
	}
	EQUAL(names_in("."), 1);
}

/* As editors and package managers do it: who reads always finds a whole file. */
static void replacing_is_never_seen_half_done(void)
{
	enum { ROUNDS = 60 };
	pid_t pid;

	make_file("file", "0000");
	pid = child_start();
	if (pid == 0) {
		for (int i = 1; i <= ROUNDS; i++) {
			char text[8];

			snprintf(text, sizeof(text), "%04d", i % 10000);
			make_file("new", text);
			OK(rename("new", "file"));
		}
		child_end();
	}
	for (int last = 0; last < ROUNDS;) {
		char text[8] = "";
		int fd = opened("file", O_RDONLY);

		EQUAL(read(fd, text, sizeof(text)), 4);
		TRUE(atoi(text) >= last);
		last = atoi(text);
		OK(close(fd));
	}
	child_wait(pid);
}

static const struct posix_case cases[] = {
	CASE(a_file_is_renamed),
	CASE(a_file_takes_the_place_of_another),
	CASE(what_is_replaced_while_open_lives_on),
	CASE(a_name_for_itself_changes_nothing),
	CASE(a_folder_is_renamed_with_what_is_in_it),
	CASE(a_folder_takes_the_place_of_an_empty_one_only),
	CASE(a_folder_and_a_file_do_not_replace_each_other),
	CASE(a_folder_cannot_move_into_itself),
	CASE(links_are_renamed_and_not_what_they_lead_to),
	CASE(nothing_is_replaced_where_that_is_asked),
	CASE(two_names_are_exchanged),
	CASE(counts_of_links_follow_folders),
	CASE(many_renames_leave_one_name),
	CASE(replacing_is_never_seen_half_done),
};
GROUP(rename);
