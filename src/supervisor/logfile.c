/*
 * The descriptor is kept open, so writing is one system call. A rotation renames and opens anew; readers that follow
 * the log see another inode at the path. When that fails the file is cut back to nothing, for the limit protects the
 * disk of the user.
 */
#include "supervisor/logfile.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct logfile {
	char *path;
	int fd;
	uint64_t size, limit;
	bool rotate;
	bool full; /* without rotation: the note is written */
};

static int open_file(const char *path, bool append)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_APPEND | (append ? 0 : O_TRUNC), 0600);

	return fd < 0 ? -errno : fd;
}

int logfile_open(struct logfile **ret, const struct logfile_options *options, struct annex_error **err)
{
	struct logfile *log = calloc(1, sizeof(*log));
	struct stat st;

	if (!log)
		return fail_memory(err);
	*log = (struct logfile){
		.path = strdup(options->path), .fd = -1, .limit = options->limit, .rotate = options->rotate};
	if (!log->path) {
		free(log);
		return fail_memory(err);
	}
	log->fd = open_file(log->path, options->append);
	if (log->fd < 0) {
		fail_os(err, log->fd, "cannot open log %s", log->path);
		logfile_close(log);
		return -1;
	}
	if (fstat(log->fd, &st) == 0)
		log->size = (uint64_t)st.st_size;
	*ret = log;
	return 0;
}

void logfile_restart(struct logfile *log)
{
	if (!log)
		return;
	log->full = false;
	if (ftruncate(log->fd, 0) == 0)
		log->size = 0;
}

static void rotate(struct logfile *log)
{
	auto_free char *old = NULL;
	int fd;

	if (asprintf(&old, "%s.1", log->path) < 0) {
		old = NULL;
		logfile_restart(log);
		return;
	}
	fd = rename(log->path, old) == 0 ? open_file(log->path, false) : -errno;
	if (fd < 0) {
		logfile_restart(log);
		return;
	}
	cleanup_close(&log->fd);
	log->fd = fd;
	log->size = 0;
}

void logfile_write(struct logfile *log, const void *bytes, size_t size)
{
	static const char note[] = "\n[the log is full; the rest is not kept]\n";
	const char *at = bytes;
	size_t piece;

	while (log && size > 0) {
		if (log->size >= log->limit && log->rotate)
			rotate(log);
		if (log->size >= log->limit) {
			if (!log->full && file_write_all(log->fd, note, strlen(note)) == 0)
				log->full = true;
			return;
		}
		piece = size < log->limit - log->size ? size : (size_t)(log->limit - log->size);
		if (file_write_all(log->fd, at, piece) < 0)
			return;
		log->size += piece;
		at += piece;
		size -= piece;
	}
}

void logfile_close(struct logfile *log)
{
	if (!log)
		return;
	cleanup_close(&log->fd);
	free(log->path);
	free(log);
}
