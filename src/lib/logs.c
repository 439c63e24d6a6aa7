/*
 * A machine's logs. The console's log is two files: console.log, and console.log.1 which it was before it grew too
 * large. Following waits by inotify on the machine's folder, and goes on with the new file after a rotation or a new
 * start.
 */
#include "lib/machine.h"

#include "base/file.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>

enum { CHUNK = 65536 };

/* Where the last `lines` lines of a file begin; *ret_found: how many there are, at most `lines`. */
static int find_tail(off_t *ret, int64_t *ret_found, int fd, int64_t lines)
{
	off_t at = lseek(fd, 0, SEEK_END), size = at;
	auto_free char *chunk = malloc(CHUNK);
	int64_t found = 0;

	if (at < 0)
		return -errno;
	if (!chunk)
		return -ENOMEM;
	while (at > 0) {
		size_t part = at < CHUNK ? (size_t)at : CHUNK;
		ssize_t n = pread(fd, chunk, part, at - (off_t)part);

		if (n != (ssize_t)part)
			return n < 0 ? -errno : -EIO;
		for (size_t i = part; i-- > 0;) {
			/* The newline that ends the last line begins no further one. */
			if (chunk[i] != '\n' || at - (off_t)part + (off_t)i == size - 1)
				continue;
			if (++found == lines) {
				*ret = at - (off_t)part + (off_t)i + 1;
				*ret_found = found;
				return 0;
			}
		}
		at -= (off_t)part;
	}
	*ret = 0;
	*ret_found = size > 0 ? found + 1 : 0;
	return 0;
}

static int copy_from(int to, int fd, off_t at)
{
	return lseek(fd, at, SEEK_SET) < 0 ? -errno : file_copy(to, fd);
}

/* The older file first, as far as the lines reach into it. Gives the newer one's descriptor, at its end; -1: none yet.
 */
static int print_tail(int *ret, const char *path, int to, int64_t lines)
{
	auto_free char *older_path = NULL;
	auto_close int older = -1, newer = open(path, O_RDONLY | O_CLOEXEC);
	off_t at = 0, older_at = 0;
	int64_t found = 0, more = 0;
	int result = 0;

	if (asprintf(&older_path, "%s.1", path) < 0) {
		older_path = NULL;
		return -ENOMEM;
	}
	older = open(older_path, O_RDONLY | O_CLOEXEC);
	if (newer >= 0 && lines >= 0)
		result = lines == 0 ? (at = lseek(newer, 0, SEEK_END), 0) : find_tail(&at, &found, newer, lines);
	if (result == 0 && older >= 0 && (lines < 0 || found < lines)) {
		if (lines >= 0)
			result = find_tail(&older_at, &more, older, lines - found);
		if (result == 0)
			result = copy_from(to, older, older_at);
	}
	if (result == 0 && newer >= 0)
		result = copy_from(to, newer, at);
	if (result == 0)
		*ret = TAKE_FD(newer);
	return result;
}

static bool is_replaced(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_ino != there.st_ino;
}

/* Something was written: give what is new. *fd moves on to a new file when the log was rotated or begun. */
static int catch_up(int *fd, const char *path, int to)
{
	int result = *fd >= 0 ? file_copy(to, *fd) : 0;
	struct stat st;

	if (result < 0)
		return result;
	if (*fd >= 0 && fstat(*fd, &st) == 0 && lseek(*fd, 0, SEEK_CUR) > st.st_size)
		return copy_from(to, *fd, 0); /* it was begun anew in place */
	if (*fd >= 0 && !is_replaced(*fd, path))
		return 0;
	if (*fd >= 0)
		close(*fd);
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd >= 0 ? file_copy(to, *fd) : 0;
}

/* Until cancelled, or the machine's folder is gone. */
static int follow_file(struct annex_machine *machine, int *fd, const char *path, int to, struct annex_error **err)
{
	auto_close int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd wait = {.fd = watch, .events = POLLIN};
	char events[4096];
	int result;

	if (watch < 0 || inotify_add_watch(watch, machine->paths.folder,
					   IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF) < 0)
		return fail_os(err, errno, "cannot watch %s", machine->paths.folder);
	while (!context_is_cancelled(machine->context) && file_exists(AT_FDCWD, machine->paths.folder)) {
		result = catch_up(fd, path, to);
		if (result < 0)
			return fail_os(err, result, "cannot follow %s", path);
		/* A signal that cancels ends poll(); one that comes just before it is noticed by the next event or
		 * second. */
		if (poll(&wait, 1, 1000) > 0)
			while (read(watch, events, sizeof(events)) > 0)
				;
	}
	return 0;
}

API int annex_machine_logs(struct annex_machine *machine, enum annex_log log, int fd, int64_t lines, int follow,
			   struct annex_error **err)
{
	const char *path = log == ANNEX_LOG_BOOT ? machine->paths.boot_log : machine->paths.console;
	auto_close int current = -1;
	int result = print_tail(&current, path, fd, lines);

	if (result < 0)
		return fail_os(err, result, "cannot show the log of machine '%s'", machine->record.name);
	return follow ? follow_file(machine, &current, path, fd, err) : 0;
}
