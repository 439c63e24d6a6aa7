/* What the flags of open() mean. */
#include "posix.h"

static void exclusive_creation_fails_over_what_is_there(void)
{
	make_file("file", "text");
	make_folder("folder");
	OK(symlink("nowhere", "dangling"));
	FAILS(EEXIST, open("file", O_CREAT | O_EXCL | O_RDWR, 0644));
	FAILS(EEXIST, open("folder", O_CREAT | O_EXCL | O_RDWR, 0644));
	FAILS(EEXIST, open("dangling", O_CREAT | O_EXCL | O_RDWR, 0644));
	is_missing("nowhere");
	has_text("file", "text");
}

static void creation_follows_a_dangling_link(void)
{
	OK(symlink("target", "dangling"));
	make_file("dangling", "text");
	has_text("target", "text");
	TRUE(S_ISLNK(stat_of("dangling").st_mode));
}

static void creation_opens_what_is_there_and_keeps_its_mode(void)
{
	make_file("file", "text");
	OK(chmod("file", 0600));
	OK(close((int)OK(open("file", O_CREAT | O_RDWR, 0777))));
	EQUAL(mode_of("file"), 0600);
	has_text("file", "text");
}

static void truncation_empties_at_opening(void)
{
	make_file("file", "text");
	OK(close(opened("file", O_WRONLY | O_TRUNC)));
	EQUAL(stat_of("file").st_size, 0);
	make_file("file", "text");
	OK(close(opened("file", O_RDONLY | O_TRUNC)));
	EQUAL(stat_of("file").st_size, 0);
}

static void appending_writes_to_the_end_wherever_it_is(void)
{
	int fd = (int)OK(open("file", O_CREAT | O_RDWR | O_APPEND, 0644)), other = opened("file", O_WRONLY | O_APPEND);

	EQUAL(write(fd, "one ", 4), 4);
	EQUAL(write(other, "two ", 4), 4);
	EQUAL(lseek(fd, 0, SEEK_SET), 0);
	EQUAL(write(fd, "three ", 6), 6);
	EQUAL(lseek(fd, 0, SEEK_CUR), 14);
	EQUAL(pwrite(other, "four", 4, 1), 4); /* as Linux has it */
	has_text("file", "one two three four");
}

static void two_who_append_lose_nothing(void)
{
	enum { RECORDS = 100, SIZE = 50 };
	char record[SIZE];
	pid_t pids[2];
	struct stat st;

	make_file("log", "");
	for (int k = 0; k < 2; k++) {
		pids[k] = child_start();
		if (pids[k] == 0) {
			int fd = opened("log", O_WRONLY | O_APPEND);

			memset(record, 'a' + k, sizeof(record));
			for (int i = 0; i < RECORDS; i++)
				EQUAL(write(fd, record, sizeof(record)), sizeof(record));
			child_end();
		}
	}
	child_wait(pids[0]);
	child_wait(pids[1]);
	st = stat_of("log");
	EQUAL(st.st_size, 2 * RECORDS * SIZE);
	for (int fd = opened("log", O_RDONLY); read(fd, record, sizeof(record)) == sizeof(record);) {
		for (int i = 1; i < SIZE; i++)
			EQUAL(record[i], record[0]);
	}
}

static void folders_open_for_reading_only(void)
{
	make_folder("folder");
	make_file("file", "");
	FAILS(EISDIR, open("folder", O_RDWR));
	FAILS(EISDIR, open("folder", O_WRONLY));
	FAILS(EISDIR, open("folder", O_RDONLY | O_TRUNC));
	FAILS(EISDIR, open("folder", O_RDONLY | O_CREAT, 0644));
	FAILS(ENOTDIR, open("file", O_RDONLY | O_DIRECTORY));
	FAILS(EISDIR, read(opened("folder", O_RDONLY | O_DIRECTORY), (char[1]){0}, 1));
}

static void links_are_not_followed_where_that_is_asked(void)
{
	struct stat st;
	int fd;

	make_file("file", "text");
	OK(symlink("file", "link"));
	FAILS(ELOOP, open("link", O_RDONLY | O_NOFOLLOW));
	fd = (int)OK(open("link", O_PATH | O_NOFOLLOW));
	st = stat_of_fd(fd);
	TRUE(S_ISLNK(st.st_mode));
	EQUAL(st.st_ino, stat_of("link").st_ino);
	char target[16] = "";
	EQUAL(readlinkat(fd, "", target, sizeof(target)), 4);
	SAME_TEXT(target, "file");
}

static void a_temporary_file_has_no_name_until_it_is_linked(void)
{
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);

	if (fd < 0 && errno == EOPNOTSUPP)
		skip("no O_TMPFILE");
	OK(fd);
	EQUAL(names_in("."), 0);
	EQUAL(stat_of_fd(fd).st_nlink, 0);
	EQUAL(stat_of_fd(fd).st_mode & 07777, 0640);
	EQUAL(write(fd, "text", 4), 4);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	has_text("named", "text");
	EQUAL(stat_of_fd(fd).st_nlink, 1);
	EQUAL(stat_of("named").st_ino, stat_of_fd(fd).st_ino);
	EQUAL(write(fd, "more", 4), 4);
	OK(close(fd));
	has_text("named", "textmore");
}

static void an_exclusive_temporary_file_is_never_linked(void)
{
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640);

	if (fd < 0 && errno == EOPNOTSUPP)
		skip("no O_TMPFILE");
	OK(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	FAILS(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	EQUAL(pwrite(fd, "text", 4, 10), 4);
	EQUAL(stat_of_fd(fd).st_size, 14);
	EQUAL(names_in("."), 0);
}

static void a_path_descriptor_names_and_reads_nothing(void)
{
	int fd;

	make_folder("folder");
	make_file("folder/file", "text");
	OK(chmod("folder/file", 0));
	fd = (int)OK(open("folder/file", O_PATH));
	FAILS(EBADF, read(fd, (char[1]){0}, 1));
	FAILS(EBADF, write(fd, "", 1));
	FAILS(EBADF, ftruncate(fd, 0));
	EQUAL(stat_of_fd(fd).st_size, 4);
	fd = (int)OK(open("folder", O_PATH));
	OK(faccessat(fd, "file", F_OK, 0));
	OK(fchdir(fd));
	EQUAL(stat_of("file").st_size, 4);
}

static void direct_io_reads_what_was_written_and_writes_what_is_read(void)
{
	enum { SIZE = 65536 };
	char *data, *read_back;
	int fd = open("file", O_CREAT | O_RDWR | O_DIRECT, 0644), plain;

	if (fd < 0 && errno == EINVAL)
		skip("no O_DIRECT");
	OK(fd);
	TRUE(posix_memalign((void **)&data, 4096, SIZE) == 0 && posix_memalign((void **)&read_back, 4096, SIZE) == 0);
	for (int i = 0; i < SIZE; i++)
		data[i] = pattern_byte(i);
	plain = opened("file", O_RDWR);
	EQUAL(pwrite(fd, data, SIZE, 4096), SIZE);
	EQUAL(pread(plain, read_back, SIZE, 4096), SIZE);
	SAME(read_back, data, SIZE);
	EQUAL(pwrite(plain, "plain", 5, 8192), 5);
	memcpy(data + 4096, "plain", 5);
	EQUAL(pread(fd, read_back, SIZE, 4096), SIZE);
	SAME(read_back, data, SIZE);
	EQUAL(pwrite(fd, data, 4096, 8192), 4096);
	EQUAL(pread(plain, read_back, 4096, 8192), 4096);
	SAME(read_back, data, 4096);
	EQUAL(pread(fd, read_back, SIZE, 65536), 4096); /* up to the end */
}

static void synchronous_writing_works(void)
{
	int fd = (int)OK(open("file", O_CREAT | O_RDWR | O_SYNC, 0644));

	EQUAL(write(fd, "text", 4), 4);
	EQUAL(write(opened("file", O_WRONLY | O_DSYNC | O_APPEND), "more", 4), 4);
	has_text("file", "textmore");
}

static void names_that_lead_nowhere_fail_as_they_should(void)
{
	make_file("file", "");
	FAILS(ENOENT, open("nothing", O_RDONLY));
	FAILS(ENOENT, open("nothing/file", O_RDWR | O_CREAT, 0644));
	FAILS(ENOTDIR, open("file/below", O_RDONLY));
	FAILS(ENOTDIR, open("file/below", O_RDWR | O_CREAT, 0644));
	FAILS(ENOTDIR, open("file/", O_RDONLY));
	FAILS(EISDIR, open("new/", O_RDWR | O_CREAT, 0644));
	FAILS(ENOENT, open("", O_RDONLY));
}

static void who_creates_a_file_may_write_to_it_whatever_its_mode(void)
{
	int fd = (int)OK(open("file", O_CREAT | O_EXCL | O_RDWR, 0));
	char text[5] = "";

	EQUAL(write(fd, "text", 4), 4);
	EQUAL(pread(fd, text, 4, 0), 4);
	SAME_TEXT(text, "text");
	EQUAL(mode_of("file"), 0);
}

static void a_mode_closes_a_file_to_its_owner(void)
{
	make_file("file", "text");
	OK(chmod("file", 0));
	FAILS(EACCES, open("file", O_RDONLY));
	FAILS(EACCES, open("file", O_WRONLY));
	OK(chmod("file", 0400));
	FAILS(EACCES, open("file", O_RDWR));
	FAILS(EACCES, open("file", O_RDONLY | O_TRUNC));
	FAILS(EACCES, truncate("file", 0));
	has_text("file", "text");
}

static void a_mode_closes_nothing_to_root(void)
{
	make_file("file", "text");
	OK(chmod("file", 0));
	has_text("file", "text");
	EQUAL(write(opened("file", O_WRONLY | O_APPEND), "more", 4), 4);
	OK(truncate("file", 6));
	has_text("file", "textmo");
	EQUAL(mode_of("file"), 0);
}

static void what_is_open_stays_open_when_its_mode_closes_it(void)
{
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
	char text[5] = "";

	OK(chmod("file", 0));
	EQUAL(write(fd, "text", 4), 4);
	EQUAL(pread(fd, text, 4, 0), 4);
	OK(ftruncate(fd, 2));
	EQUAL(stat_of_fd(fd).st_size, 2);
	OK(fchmod(fd, 0200));
	EQUAL(mode_of("file"), 0200);
}

static void access_times_can_be_left_alone(void)
{
	make_file("file", "text");
	EQUAL(read(opened("file", O_RDONLY | O_NOATIME), (char[4]){0}, 4), 4);
}

static void many_files_can_be_open_at_once(void)
{
	enum { FILES = 200 };
	char name[16], byte;
	int fds[FILES];

	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%d", i);
		fds[i] = (int)OK(open(name, O_CREAT | O_RDWR, 0644));
	}
	for (int i = 0; i < FILES; i++)
		EQUAL(write(fds[i], &(char){(char)i}, 1), 1);
	for (int i = 0; i < FILES; i++) {
		EQUAL(pread(fds[i], &byte, 1, 0), 1);
		EQUAL(byte, (char)i);
	}
}

static const struct posix_case cases[] = {
	CASE(exclusive_creation_fails_over_what_is_there),
	CASE(creation_follows_a_dangling_link),
	CASE(creation_opens_what_is_there_and_keeps_its_mode),
	CASE(truncation_empties_at_opening),
	CASE(appending_writes_to_the_end_wherever_it_is),
	CASE(two_who_append_lose_nothing),
	CASE(folders_open_for_reading_only),
	CASE(links_are_not_followed_where_that_is_asked),
	CASE(a_temporary_file_has_no_name_until_it_is_linked),
	CASE(an_exclusive_temporary_file_is_never_linked),
	CASE(a_path_descriptor_names_and_reads_nothing),
	CASE(direct_io_reads_what_was_written_and_writes_what_is_read),
	CASE(synchronous_writing_works),
	CASE(names_that_lead_nowhere_fail_as_they_should),
	CASE(who_creates_a_file_may_write_to_it_whatever_its_mode),
	CASE_FOR(FOR_USER, a_mode_closes_a_file_to_its_owner),
	CASE_FOR(FOR_ROOT, a_mode_closes_nothing_to_root),
	CASE(what_is_open_stays_open_when_its_mode_closes_it),
	CASE(access_times_can_be_left_alone),
	CASE(many_files_can_be_open_at_once),
};
GROUP(open);
