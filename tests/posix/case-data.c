/* Reading, writing, copying. */
#include "posix.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#define RWF_APPEND_ 0x10 /* <linux/fs.h> */

static void what_is_written_is_read(void)
{
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
	char text[16] = "";

	EQUAL(write(fd, "one two", 7), 7);
	EQUAL(read(fd, text, sizeof(text)), 0);
	EQUAL(lseek(fd, 0, SEEK_SET), 0);
	EQUAL(read(fd, text, 3), 3);
	SAME_TEXT(text, "one");
	EQUAL(pread(fd, text, 3, 4), 3);
	SAME_TEXT(text, "two");
	EQUAL(pwrite(fd, "TWO", 3, 4), 3);
	EQUAL(lseek(fd, 0, SEEK_CUR), 3);
	has_text("file", "one TWO");
	EQUAL(pread(fd, text, sizeof(text), 7), 0);
	EQUAL(pread(fd, text, sizeof(text), 1000), 0);
	EQUAL(pread(fd, text, sizeof(text), 5), 2);
	EQUAL(write(fd, "", 0), 0);
	EQUAL(lseek(fd, -1, SEEK_END), 6);
	FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
	FAILS(EINVAL, pread(fd, text, 1, -1));
	FAILS(EINVAL, pwrite(fd, text, 1, -1));
}

static void a_descriptor_does_what_it_was_opened_for(void)
{
	char byte;

	make_file("file", "text");
	FAILS(EBADF, write(opened("file", O_RDONLY), "x", 1));
	FAILS(EBADF, read(opened("file", O_WRONLY), &byte, 1));
	FAILS(EINVAL, ftruncate(opened("file", O_RDONLY), 0));
	FAILS2(EINVAL, EBADF, read_with(opened("file", O_WRONLY), &byte, 1, 0, 0));
}

static void parts_are_gathered_and_scattered(void)
{
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
	char a[4] = "", b[2] = "", c[8] = "";
	struct iovec out[] = {{(char[]){"abc"}, 3}, {NULL, 0}, {(char[]){"d"}, 1}, {(char[]){"efgh"}, 4}};
	struct iovec in[] = {{a, 3}, {b, 1}, {c, 7}};

	EQUAL(writev(fd, out, 4), 8);
	EQUAL(preadv(fd, in, 3, 0), 8);
	SAME_TEXT(a, "abc");
	SAME_TEXT(b, "d");
	SAME_TEXT(c, "efgh");
	EQUAL(pwritev(fd, out, 4, 100000), 8);
	EQUAL(stat_of_fd(fd).st_size, 100008);
	EQUAL(preadv(fd, in, 3, 99996), 11);
	SAME(a, "\0\0\0", 3);
	SAME(c, "abcdefg", 7);
}

static void a_thousand_parts_are_one_write(void)
{
	enum { PARTS = 1024, SIZE = 173 };
	static char data[PARTS * SIZE], read_back[PARTS * SIZE];
	struct iovec parts[PARTS];
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));

	for (int i = 0; i < PARTS; i++)
		parts[i] = (struct iovec){memset(data + i * SIZE, i, SIZE), SIZE};
	EQUAL(writev(fd, parts, PARTS), sizeof(data));
	EQUAL(pread(fd, read_back, sizeof(read_back), 0), sizeof(data));
	SAME(read_back, data, sizeof(data));
}

static void flags_of_one_write_append_or_sync(void)
{
	int fd;

	make_file("file", "text");
	fd = opened("file", O_RDWR);
	EQUAL(write_with(fd, "more", 4, 0, RWF_APPEND_), 4);
	EQUAL(write_with(fd, "T", 1, 0, 4 /* RWF_SYNC */), 1);
	EQUAL(write_with(fd, "E", 1, 1, 2 /* RWF_DSYNC */), 1);
	has_text("file", "TExtmore");
}

static void megabytes_survive(void)
{
	enum { SIZE = 3 * 1024 * 1024 + 77 };
	char *data = malloc(SIZE);
	int fd;

	make_sized("file", SIZE);
	fd = opened("file", O_RDONLY);
	EQUAL(read(fd, data, SIZE), SIZE);
	for (off_t i = 0; i < SIZE; i++) {
		if (data[i] != pattern_byte(i))
			EQUAL(data[i], pattern_byte(i));
	}
	EQUAL(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	for (off_t at = SIZE - 5000; at > 0; at -= 499979) {
		EQUAL(pread(fd, data, 5000, at), 5000);
		for (off_t i = 0; i < 5000; i++)
			EQUAL(data[i], pattern_byte(at + i));
	}
}

static void one_descriptor_sees_what_another_wrote(void)
{
	int writer = (int)OK(open("file", O_CREAT | O_WRONLY, 0644)), reader = opened("file", O_RDONLY);
	char text[8];

	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof(text), "%06d", i);
		EQUAL(pwrite(writer, text, 6, (off_t)i * 1000), 6);
		memset(text, 0, sizeof(text));
		EQUAL(pread(reader, text, 6, (off_t)i * 1000), 6);
		EQUAL(atoi(text), i);
		EQUAL(stat_of("file").st_size, i * 1000 + 6);
	}
}

static void one_process_sees_what_another_wrote(void)
{
	struct turns to_child = turns_make(), to_parent = turns_make();
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
	pid_t pid = child_start();
	char text[8] = "";

	if (pid == 0) {
		int own = opened("file", O_RDWR);

		for (int i = 0; i < 20; i++) {
			turn_wait(&to_child);
			EQUAL(pread(own, text, 6, 0), 6);
			EQUAL(atoi(text), 2 * i);
			snprintf(text, sizeof(text), "%06d", 2 * i + 1);
			EQUAL(pwrite(own, text, 6, 0), 6);
			turn_give(&to_parent);
		}
		child_end();
	}
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "%06d", 2 * i);
		EQUAL(pwrite(fd, text, 6, 0), 6);
		turn_give(&to_child);
		turn_wait(&to_parent);
		EQUAL(pread(fd, text, 6, 0), 6);
		EQUAL(atoi(text), 2 * i + 1);
	}
	child_wait(pid);
}

static void ranges_are_copied_between_files(void)
{
	int from, to;
	off_t from_at = 1000, to_at = 5;
	char *data = calloc(1, 60000);
	ssize_t n;

	make_sized("from", 100000);
	make_file("to", "12345");
	from = opened("from", O_RDONLY);
	to = opened("to", O_RDWR);
	for (size_t left = 50000; left > 0; left -= (size_t)n) {
		n = copy_file_range(from, &from_at, to, &to_at, left, 0);
		TRUE(n > 0);
	}
	EQUAL(from_at, 51000);
	EQUAL(to_at, 50005);
	EQUAL(pread(to, data, 60000, 0), 50005);
	SAME(data, "12345", 5);
	for (off_t i = 0; i < 50000; i++)
		EQUAL(data[i + 5], pattern_byte(1000 + i));
	from_at = 100000;
	EQUAL(copy_file_range(from, &from_at, to, &to_at, 10, 0), 0);
	FAILS(EINVAL, copy_file_range(from, &(off_t){0}, to, &(off_t){0}, 10, 1));
	FAILS(EBADF, copy_file_range(from, &(off_t){0}, opened("to", O_RDONLY), &(off_t){0}, 10, 0));
	FAILS(EBADF, copy_file_range(from, &(off_t){0}, opened("to", O_WRONLY | O_APPEND), &(off_t){0}, 10, 0));
	FAILS(EISDIR, copy_file_range(opened(".", O_RDONLY), &(off_t){0}, to, &(off_t){0}, 10, 0));
}

static void a_range_is_copied_within_a_file_unless_it_overlaps(void)
{
	char text[16] = "";
	int fd;

	make_file("file", "0123456789");
	fd = opened("file", O_RDWR);
	EQUAL(copy_file_range(fd, &(off_t){0}, fd, &(off_t){5}, 5, 0), 5);
	has_text("file", "0123401234");
	FAILS(EINVAL, copy_file_range(fd, &(off_t){0}, fd, &(off_t){2}, 5, 0));
	EQUAL(copy_file_range(fd, &(off_t){0}, fd, &(off_t){20}, 3, 0), 3);
	EQUAL(pread(fd, text, 16, 8), 15);
	SAME(text,
	     "34\0\0\0\0\0\0\0\0\0\0"
	     "012",
	     15);
}

static void what_is_written_is_there_to_copy_at_once(void)
{
	int from = (int)OK(open("from", O_CREAT | O_RDWR, 0644)), to = (int)OK(open("to", O_CREAT | O_RDWR, 0644));
	char text[8];

	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "%06d", i);
		EQUAL(pwrite(from, text, 6, 0), 6);
		EQUAL(copy_file_range(from, &(off_t){0}, to, &(off_t){0}, 6, 0), 6);
		EQUAL(pread(to, text, 6, 0), 6);
		EQUAL(atoi(text), i);
	}
}

static void files_are_sent_and_spliced(void)
{
	int from, to, pipes[2];
	off_t at = 10;
	char data[4096];

	make_sized("from", 20000);
	from = opened("from", O_RDONLY);
	to = (int)OK(open("to", O_CREAT | O_RDWR, 0644));
	EQUAL(sendfile(to, from, &at, 5000), 5000);
	EQUAL(at, 5010);
	EQUAL(pread(to, data, 4096, 0), 4096);
	for (int i = 0; i < 4096; i++)
		EQUAL(data[i], pattern_byte(10 + i));
	OK(pipe(pipes));
	EQUAL(splice(from, &(off_t){100}, pipes[1], NULL, 4096, 0), 4096);
	EQUAL(splice(pipes[0], NULL, to, &(off_t){50}, 4096, 0), 4096);
	EQUAL(pread(to, data, 4096, 50), 4096);
	for (int i = 0; i < 4096; i++)
		EQUAL(data[i], pattern_byte(100 + i));
}

static void everything_can_be_synced(void)
{
	int fd, folder = opened(".", O_RDONLY | O_DIRECTORY);

	make_sized("file", 100000);
	fd = opened("file", O_RDWR);
	EQUAL(pwrite(fd, "x", 1, 50000), 1);
	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(syncfs(fd));
	OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
	OK(fsync(folder));
	OK(fdatasync(folder));
	OK(fsync(opened("file", O_RDONLY)));
	sync();
}

static void a_limit_of_size_is_kept(void)
{
	struct rlimit limit = {100000, 100000};
	int fd = (int)OK(open("file", O_CREAT | O_RDWR, 0644));
	char data[1000];
	pid_t pid;

	memset(data, 1, sizeof(data));
	OK(setrlimit(RLIMIT_FSIZE, &limit));
	pid = child_start();
	if (pid == 0) {
		EQUAL(pwrite(fd, data, sizeof(data), 99500), 500); /* up to the limit */
		signal(SIGXFSZ, SIG_IGN);
		FAILS(EFBIG, pwrite(fd, data, 1, 100000));
		FAILS(EFBIG, ftruncate(fd, 100001));
		signal(SIGXFSZ, SIG_DFL);
		(void)!pwrite(fd, data, 1, 100000);
		child_end();
	}
	EQUAL(child_signal(pid), SIGXFSZ);
	EQUAL(stat_of("file").st_size, 100000);
}

static const struct posix_case cases[] = {
	CASE(what_is_written_is_read),
	CASE(a_descriptor_does_what_it_was_opened_for),
	CASE(parts_are_gathered_and_scattered),
	CASE(a_thousand_parts_are_one_write),
	CASE(flags_of_one_write_append_or_sync),
	CASE(megabytes_survive),
	CASE(one_descriptor_sees_what_another_wrote),
	CASE(one_process_sees_what_another_wrote),
	CASE(ranges_are_copied_between_files),
	CASE(a_range_is_copied_within_a_file_unless_it_overlaps),
	CASE(what_is_written_is_there_to_copy_at_once),
	CASE(files_are_sent_and_spliced),
	CASE(everything_can_be_synced),
	CASE(a_limit_of_size_is_kept),
};
GROUP(data);
