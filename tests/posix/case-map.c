/* Files in memory. */
#include "posix.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#define PAGE  4096
#define TMPFS 0x01021994 /* <linux/magic.h> */
#define SIZE  ((size_t)64 * 1024)

static char *mapped(int fd, int protection, int flags)
{
	char *at = mmap(NULL, SIZE, protection, flags, fd, 0);

	if (at == MAP_FAILED)
		OK(-1);
	return at;
}

static void a_mapping_shows_the_file(void)
{
	char *at;
	int fd;

	make_sized("file", SIZE);
	fd = opened("file", O_RDONLY);
	at = mapped(fd, PROT_READ, MAP_SHARED);
	OK(close(fd));
	for (size_t i = 0; i < SIZE; i++)
		EQUAL(at[i], pattern_byte((off_t)i));
	OK(unlink("file"));
	EQUAL(at[SIZE - 1], pattern_byte(SIZE - 1));
}

static void what_is_written_to_a_mapping_is_in_the_file(void)
{
	char byte, *at;
	int fd;

	make_sized("file", SIZE);
	fd = opened("file", O_RDWR);
	at = mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (size_t i = 0; i < SIZE; i += PAGE / 2)
		at[i] = 'x';
	EQUAL(pread(fd, &byte, 1, PAGE / 2), 1);
	EQUAL(byte, 'x');
	OK(msync(at, SIZE, MS_SYNC));
	OK(munmap(at, SIZE));
	OK(close(fd));
	fd = opened("file", O_RDONLY);
	for (size_t i = 0; i < SIZE; i += PAGE / 2) {
		EQUAL(pread(fd, &byte, 1, (off_t)i), 1);
		EQUAL(byte, 'x');
		EQUAL(pread(fd, &byte, 1, (off_t)i + 1), 1);
		EQUAL(byte, pattern_byte((off_t)i + 1));
	}
}

static void a_mapping_shows_what_is_written_to_the_file(void)
{
	char *at;
	int fd;

	make_sized("file", SIZE);
	fd = opened("file", O_RDWR);
	at = mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (int i = 0; i < 20; i++) {
		off_t place = i * 3000;

		at[place] = 'm';
		EQUAL(pwrite(fd, "file", 4, place + 1), 4);
		SAME(at + place, "mfile", 5);
		at[place + 2] = 'M';
		char text[5];
		EQUAL(pread(fd, text, 5, place), 5);
		SAME(text, "mfMle", 5);
	}
}

static void a_private_mapping_changes_nothing(void)
{
	char *at;
	int fd;

	make_file("file", "text");
	OK(truncate("file", SIZE));
	fd = opened("file", O_RDONLY);
	at = mapped(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	at[0] = 'T';
	at[SIZE - 1] = 'x';
	SAME(at, "Text", 4);
	OK(munmap(at, SIZE));
	EQUAL(pread(fd, (char[1]){0}, 1, SIZE - 1), 1);
	OK(truncate("file", 4));
	has_text("file", "text");
}

static void mappings_need_the_right_kind_of_opening(void)
{
	make_sized("file", SIZE);
	TRUE(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, opened("file", O_RDONLY), 0) == MAP_FAILED &&
	     errno == EACCES);
	TRUE(mmap(NULL, SIZE, PROT_READ, MAP_SHARED, opened("file", O_WRONLY), 0) == MAP_FAILED && errno == EACCES);
	TRUE(mmap(NULL, SIZE, PROT_READ, MAP_SHARED, opened(".", O_RDONLY), 0) == MAP_FAILED && errno == ENODEV);
}

/* Which a sanitizer would make a report of. */
static pid_t child_start_to_die(void)
{
	pid_t pid = child_start();

	if (pid == 0)
		(void)signal(SIGBUS, SIG_DFL);
	return pid;
}

static void touching_pages_behind_the_end_is_a_bus_error(void)
{
	volatile char *at;
	pid_t pid;
	int fd;

	make_file("file", "text");
	fd = opened("file", O_RDWR);
	at = mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	EQUAL(at[4], 0); /* the rest of the page is zeros */
	EQUAL(at[PAGE - 1], 0);
	pid = child_start_to_die();
	if (pid == 0) {
		(void)at[PAGE];
		child_end();
	}
	EQUAL(child_signal(pid), SIGBUS);
	OK(ftruncate(fd, 2 * PAGE));
	EQUAL(at[PAGE], 0);
	at[PAGE] = 'x';
	OK(ftruncate(fd, 4));
	pid = child_start_to_die();
	if (pid == 0) {
		at[PAGE] = 'y';
		child_end();
	}
	EQUAL(child_signal(pid), SIGBUS);
	has_text("file", "text");
}

static void what_lies_behind_the_end_does_not_become_contents(void)
{
	struct statfs fs;
	char *at, byte;
	int fd;

	OK(statfs(".", &fs));
	if (fs.f_type == TMPFS)
		skip("in a tmpfs it does");
	make_file("file", "text");
	fd = opened("file", O_RDWR);
	at = mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	at[1] = 'E';
	at[100] = 'x';
	OK(msync(at, PAGE, MS_SYNC));
	OK(munmap(at, SIZE));
	EQUAL(stat_of("file").st_size, 4);
	has_text("file", "tExt");
	OK(ftruncate(fd, 200));
	EQUAL(pread(fd, &byte, 1, 100), 1);
	EQUAL(byte, 0);
}

static void two_processes_share_a_mapping(void)
{
	struct turns to_child = turns_make(), to_parent = turns_make();
	volatile char *at;
	pid_t pid;
	int fd;

	make_sized("file", SIZE);
	fd = opened("file", O_RDWR);
	at = mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	pid = child_start();
	if (pid == 0) {
		volatile char *own = mapped(opened("file", O_RDWR), PROT_READ | PROT_WRITE, MAP_SHARED);

		for (int i = 0; i < 20; i++) {
			turn_wait(&to_child);
			EQUAL(own[i * 2000], 2 * i);
			own[i * 2000] = (char)(2 * i + 1);
			turn_give(&to_parent);
		}
		child_end();
	}
	for (int i = 0; i < 20; i++) {
		at[i * 2000] = (char)(2 * i);
		turn_give(&to_child);
		turn_wait(&to_parent);
		EQUAL(at[i * 2000], 2 * i + 1);
	}
	child_wait(pid);
}

static void a_program_is_run_from_here(void)
{
	char *data = malloc(1 << 22);
	int from = opened("/proc/self/exe", O_RDONLY), to = (int)OK(open("program", O_CREAT | O_WRONLY, 0755));
	ssize_t n;
	int status;
	pid_t pid;

	while ((n = OK(read(from, data, 1 << 22))) > 0)
		EQUAL(write(to, data, (size_t)n), n);
	OK(close(to));
	free(data);
	pid = child_start();
	if (pid == 0) {
		close(STDERR_FILENO);
		execl("./program", "program", "nonsense", NULL);
		stop(__FILE__, __LINE__, "it can't be run: %s", error_name(errno));
	}
	OK(waitpid(pid, &status, 0));
	EQUAL(WEXITSTATUS(status), 2);
	OK(chmod("program", 0644));
	FAILS(EACCES, execl("./program", "program", NULL));
}

static const struct posix_case cases[] = {
	CASE(a_mapping_shows_the_file),
	CASE(what_is_written_to_a_mapping_is_in_the_file),
	CASE(a_mapping_shows_what_is_written_to_the_file),
	CASE(a_private_mapping_changes_nothing),
	CASE(mappings_need_the_right_kind_of_opening),
	CASE(touching_pages_behind_the_end_is_a_bus_error),
	CASE(what_lies_behind_the_end_does_not_become_contents),
	CASE(two_processes_share_a_mapping),
	CASE(a_program_is_run_from_here),
};
GROUP(map);
