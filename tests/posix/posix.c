#include "posix.h"

#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "verdict.h"

static struct verdict *verdict;

void verdict_use(struct verdict *of_case)
{
	verdict = of_case;
}

static char *claim(enum verdict_kind kind)
{
	int none = VERDICT_NONE;

	/* The first of several processes. */
	return atomic_compare_exchange_strong(&verdict->kind, &none, (int)kind) ? verdict->text : NULL;
}

void stop(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	char *text = claim(VERDICT_FAILED);
	va_list values;
	int used;

	if (text) {
		used = snprintf(text, VERDICT_TEXT, "%s:%d: ", base ? base + 1 : file, line);
		va_start(values, format);
		vsnprintf(text + used, VERDICT_TEXT - (size_t)used, format, values);
		va_end(values);
	}
	_exit(1);
}

void skip(const char *format, ...)
{
	char *text = claim(VERDICT_SKIPPED);
	va_list values;

	va_start(values, format);
	if (text)
		vsnprintf(text, VERDICT_TEXT, format, values);
	va_end(values);
	_exit(1);
}

const char *error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{0, "no error"},
		{EPERM, "EPERM"},
		{ENOENT, "ENOENT"},
		{EINTR, "EINTR"},
		{EIO, "EIO"},
		{ENXIO, "ENXIO"},
		{E2BIG, "E2BIG"},
		{EBADF, "EBADF"},
		{EAGAIN, "EAGAIN"},
		{ENOMEM, "ENOMEM"},
		{EACCES, "EACCES"},
		{EBUSY, "EBUSY"},
		{EEXIST, "EEXIST"},
		{EXDEV, "EXDEV"},
		{ENODEV, "ENODEV"},
		{ENOTDIR, "ENOTDIR"},
		{EISDIR, "EISDIR"},
		{EINVAL, "EINVAL"},
		{ENOTTY, "ENOTTY"},
		{ETXTBSY, "ETXTBSY"},
		{EFBIG, "EFBIG"},
		{ENOSPC, "ENOSPC"},
		{ESPIPE, "ESPIPE"},
		{EROFS, "EROFS"},
		{EMLINK, "EMLINK"},
		{ERANGE, "ERANGE"},
		{EDEADLK, "EDEADLK"},
		{ENOLCK, "ENOLCK"},
		{ENOSYS, "ENOSYS"},
		{ENOTEMPTY, "ENOTEMPTY"},
		{ELOOP, "ELOOP"},
		{ENODATA, "ENODATA"},
		{EOPNOTSUPP, "EOPNOTSUPP"},
		{ESTALE, "ESTALE"},
		{ENAMETOOLONG, "ENAMETOOLONG"},
		{EDQUOT, "EDQUOT"},
	};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (names[i].error == error)
			return names[i].name;
	}
	return strerror(error);
}

long ok(long result, const char *what, const char *file, int line)
{
	if (result < 0)
		stop(file, line, "%s failed with %s", what, error_name(errno));
	return result;
}

void fails(long result, const char *what, int error, int other, const char *file, int line)
{
	if (result >= 0)
		stop(file, line, "%s should fail with %s, and succeeded", what, error_name(error));
	if (errno != error && errno != other)
		stop(file, line, "%s should fail with %s, and did with %s", what, error_name(error), error_name(errno));
}

void equal(long long is, long long wanted, const char *what, const char *file, int line)
{
	if (is != wanted)
		stop(file, line, "%s should be %lld (0%llo), and is %lld (0%llo)", what, wanted, wanted, is, is);
}

void same_text(const char *is, const char *wanted, const char *what, const char *file, int line)
{
	if (strcmp(is, wanted) != 0)
		stop(file, line, "%s should be '%.80s', and is '%.80s'", what, wanted, is);
}

void same_bytes(const void *is, const void *wanted, size_t size, const char *what, const char *file, int line)
{
	const unsigned char *has = is, *should = wanted;

	for (size_t i = 0; i < size; i++) {
		if (has[i] != should[i])
			stop(file, line, "byte %zu of %s should be %u, and is %u", i, what, should[i], has[i]);
	}
}

/* --- processes --- */

pid_t child_start(void)
{
	return (pid_t)OK(fork());
}

void child_wait(pid_t pid)
{
	int status;

	OK(waitpid(pid, &status, 0));
	if (WIFSIGNALED(status))
		stop(__FILE__, __LINE__, "a process was ended by signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		_exit(1); /* it has told why */
}

int child_signal(pid_t pid)
{
	int status;

	OK(waitpid(pid, &status, 0));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

bool child_begin(void)
{
	pid_t pid = child_start();

	if (pid)
		child_wait(pid);
	return pid == 0;
}

bool child_begin_as(uid_t uid, gid_t gid)
{
	if (!child_begin())
		return false;
	if (is_root())
		OK(setgroups(0, NULL));
	OK(setgid(gid));
	OK(setuid(uid));
	return true;
}

void child_end(void)
{
	_exit(0);
}

struct turns turns_make(void)
{
	struct turns turns;

	OK(pipe(turns.fds));
	return turns;
}

void turn_wait(const struct turns *turns)
{
	char byte;

	while (read(turns->fds[0], &byte, 1) < 0) {
		if (errno != EINTR)
			stop(__FILE__, __LINE__, "waiting for a turn failed with %s", error_name(errno));
	}
}

bool turn_comes(const struct turns *turns, int seconds)
{
	struct pollfd wait = {.fd = turns->fds[0], .events = POLLIN};

	if (poll(&wait, 1, seconds * 1000) <= 0)
		return false;
	turn_wait(turns);
	return true;
}

void turn_give(const struct turns *turns)
{
	EQUAL(write(turns->fds[1], "", 1), 1);
}

bool is_root(void)
{
	return geteuid() == 0;
}

/* --- files --- */

void make_file(const char *name, const char *text)
{
	int fd = (int)OK(open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));

	EQUAL(write(fd, text, strlen(text)), strlen(text));
	OK(close(fd));
}

char pattern_byte(off_t at)
{
	return (char)(at * 7 + at / 251 + at / 65536);
}

void make_sized(const char *name, size_t size)
{
	int fd = (int)OK(open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	char *data = malloc(size + 1);

	TRUE(data != NULL);
	for (size_t i = 0; i < size; i++)
		data[i] = pattern_byte((off_t)i);
	EQUAL(write(fd, data, size), size);
	OK(close(fd));
	free(data);
}

void make_folder(const char *name)
{
	OK(mkdir(name, 0755));
}

int opened(const char *name, int flags)
{
	int fd = open(name, flags | O_CLOEXEC);

	if (fd < 0)
		stop(__FILE__, __LINE__, "%s can't be opened: %s", name, error_name(errno));
	return fd;
}

void has_text(const char *name, const char *text)
{
	char is[4096] = "";
	int fd = opened(name, O_RDONLY);

	OK(read(fd, is, sizeof(is) - 1));
	OK(close(fd));
	if (strcmp(is, text) != 0)
		stop(__FILE__, __LINE__, "%s should hold '%.80s', and holds '%.80s'", name, text, is);
}

struct stat stat_of(const char *name)
{
	struct stat st;

	if (lstat(name, &st) < 0)
		stop(__FILE__, __LINE__, "there should be a %.80s: %s", name, error_name(errno));
	return st;
}

struct stat stat_of_fd(int fd)
{
	struct stat st;

	OK(fstat(fd, &st));
	return st;
}

mode_t mode_of(const char *name)
{
	return stat_of(name).st_mode & 07777;
}

bool is_there(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

void is_missing(const char *name)
{
	struct stat st;

	if (lstat(name, &st) == 0 || errno != ENOENT)
		stop(__FILE__, __LINE__, "there should be no %.80s", name);
}

int names_in(const char *folder)
{
	DIR *entries = opendir(folder);
	struct dirent *entry;
	int count = 0;

	if (!entries)
		stop(__FILE__, __LINE__, "%s can't be listed: %s", folder, error_name(errno));
	while ((entry = readdir(entries)))
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(entries);
	return count;
}

static int open_up(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)at;
	(void)st;
	if (type == FTW_D || type == FTW_DNR)
		chmod(path, 0700);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)at;
	(void)st;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

void remove_tree(const char *folder)
{
	nftw(folder, open_up, 16, FTW_PHYS);
	nftw(folder, remove_one, 16, FTW_PHYS | FTW_DEPTH);
}

int rename_with(const char *from, const char *to, unsigned flags)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

ssize_t read_with(int fd, void *data, size_t size, off_t at, int flags)
{
	struct iovec part = {data, size};

	return syscall(SYS_preadv2, fd, &part, 1L, at, 0L, flags);
}

ssize_t write_with(int fd, const void *data, size_t size, off_t at, int flags)
{
	struct iovec part = {(void *)(uintptr_t)data, size};

	return syscall(SYS_pwritev2, fd, &part, 1L, at, 0L, flags);
}
