/*
 * A record's fields are where glibc has them; for the sake of 32-bit programs its times have 32 bits on x86-64, and 64
 * on what came later. A place of the file belongs to a terminal, by the last letters of its name, and is used again.
 * The lock is the one that glibc takes, and waits for up to ten seconds like it.
 */
#include "guest/utmp.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "base/time.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

#define FILE_PATH "/run/utmp"

enum { USER_PROCESS = 7, DEAD_PROCESS = 8, LOCK_S = 10 };
enum {
	PID = 4,
	LINE = 8,
	ID = 40,
	USER = 44,
	HOST = 76,
	SESSION = 336,
	LINE_SIZE = 32,
	ID_SIZE = 4,
	USER_SIZE = 32,
	HOST_SIZE = 256
};
enum { COMPACT_SECONDS = 340, COMPACT_SIZE = 384, WIDE_SECONDS = 344, WIDE_SIZE = 400 };

static const char *const readers[] = {"/usr/bin/who", "/bin/who", "/usr/bin/w"};

static void put(uint8_t *at, int64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)((uint64_t)value >> (8 * i));
}

/* A text that fills its field has no NUL; the field is empty before. */
static void put_text(uint8_t *at, const char *text, size_t size)
{
	for (size_t i = 0; i < size && text[i]; i++)
		at[i] = (uint8_t)text[i];
}

static int32_t get_pid(const uint8_t *record)
{
	return (int32_t)((uint32_t)record[PID] | (uint32_t)record[PID + 1] << 8 | (uint32_t)record[PID + 2] << 16 |
			 (uint32_t)record[PID + 3] << 24);
}

static size_t record_size(const char *machine)
{
	return text_equal(machine, "aarch64") || text_equal(machine, "riscv64") ? WIDE_SIZE : COMPACT_SIZE;
}

size_t utmp_fill(uint8_t ret[UTMP_RECORD_MAX], const char *machine, const struct utmp_entry *entry)
{
	size_t size = record_size(machine);
	bool wide = size == WIDE_SIZE;
	char line[LINE_SIZE], *id;

	memset(ret, 0, UTMP_RECORD_MAX);
	snprintf(line, sizeof(line), "pts/%u", entry->terminal);
	id = line + (strlen(line) > ID_SIZE ? strlen(line) - ID_SIZE : 0);
	put(ret, USER_PROCESS, 2);
	put(ret + PID, entry->pid, 4);
	put_text(ret + LINE, line, LINE_SIZE);
	put_text(ret + ID, id, ID_SIZE);
	put_text(ret + USER, entry->user, USER_SIZE);
	put_text(ret + HOST, "annex", HOST_SIZE);
	put(ret + SESSION, entry->pid, wide ? 8 : 4);
	put(ret + (wide ? WIDE_SECONDS : COMPACT_SECONDS), entry->seconds, wide ? 8 : 4);
	return size;
}

static bool has_reader(const char *root)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < COUNT_OF(readers); i++) {
		snprintf(path, sizeof(path), "%s%s", root, readers[i]);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

static int open_file(const char *root)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s" FILE_PATH, root);
	fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && has_reader(root))
		fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
	return fd;
}

static void on_alarm(int signal)
{
	(void)signal;
}

static bool take_lock(int fd)
{
	struct sigaction waking = {.sa_handler = on_alarm}, before;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	bool taken;

	sigaction(SIGALRM, &waking, &before);
	alarm(LOCK_S);
	taken = fcntl(fd, F_SETLKW, &lock) == 0;
	alarm(0);
	sigaction(SIGALRM, &before, NULL);
	return taken;
}

/* The terminal's place, or the end; in whole records. */
static off_t find_place(int fd, const uint8_t *record, size_t size)
{
	uint8_t other[UTMP_RECORD_MAX];
	off_t at = 0;

	while (at < (off_t)UTMP_FILE_MAX && pread(fd, other, size, at) == (ssize_t)size) {
		bool used = other[0] >= 5 && other[0] <= DEAD_PROCESS;

		if (used && memcmp(other + ID, record + ID, ID_SIZE) == 0)
			break;
		at += (off_t)size;
	}
	return at;
}

int utmp_login(const char *root, const struct utmp_entry *entry)
{
	auto_close int fd = open_file(root);
	uint8_t record[UTMP_RECORD_MAX];
	struct utsname system;
	struct stat st;
	off_t place;
	size_t size;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || uname(&system) < 0 || !take_lock(fd))
		return -1;
	size = utmp_fill(record, system.machine, entry);
	place = find_place(fd, record, size);
	if (place >= (off_t)UTMP_FILE_MAX || pwrite(fd, record, size, place) != (ssize_t)size ||
	    lseek(fd, place, SEEK_SET) < 0)
		return -1;
	/* The lock is this process', and goes with it. */
	fcntl(fd, F_SETLK, &(struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET});
	return TAKE_FD(fd);
}

bool utmp_is_in_memory(int fd)
{
	struct statfs system;

	return fstatfs(fd, &system) == 0 && (unsigned long)system.f_type == TMPFS_MAGIC;
}

void utmp_mark(struct utmp_mark *ret, int fd)
{
	uint8_t record[UTMP_RECORD_MAX];
	auto_close int owned = fd;
	off_t offset = ret->fd < 0 ? lseek(fd, 0, SEEK_CUR) : -1;

	if (offset < 0 || pread(fd, record, COMPACT_SIZE, offset) != COMPACT_SIZE)
		return;
	*ret = (struct utmp_mark){.fd = TAKE_FD(owned), .offset = offset, .pid = get_pid(record)};
}

void utmp_logout(struct utmp_mark *mark)
{
	uint8_t record[UTMP_RECORD_MAX];
	struct utsname system;
	size_t size;

	if (mark->fd < 0)
		return;
	uname(&system);
	size = record_size(system.machine);
	if (pread(mark->fd, record, size, mark->offset) == (ssize_t)size && record[0] == USER_PROCESS &&
	    get_pid(record) == mark->pid) {
		bool wide = size == WIDE_SIZE;

		put(record, DEAD_PROCESS, 2);
		memset(record + USER, 0, SESSION - USER);
		put(record + (wide ? WIDE_SECONDS : COMPACT_SECONDS), time_realtime_ns() / 1000000000, wide ? 8 : 4);
		if (pwrite(mark->fd, record, size, mark->offset) != (ssize_t)size)
			errno = 0; /* it was cut off meanwhile, and then nobody sees the record */
	}
	close(mark->fd);
	mark->fd = -1;
}
