/* The descriptor is kept open, so writing is one system call. The limit protects the disk of the user. */
#include "supervisor/logfile.h"

#include "base/file.h"

#include <fcntl.h>
#include <string.h>

struct logfile {
	int fd;
	uint64_t size, limit;
	bool full; /* the note is written */
};

int logfile_open(struct logfile **ret, const struct logfile_options *options, struct annex_error **err)
{
	struct logfile *log = calloc(1, sizeof(*log));

	if (!log)
		return fail_memory(err);
	log->limit = options->limit;
	log->fd = open(options->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_APPEND | O_TRUNC, 0600);
	if (log->fd < 0) {
		fail_os(err, errno, "cannot open log %s", options->path);
		logfile_close(log);
		return -1;
	}
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

void logfile_write(struct logfile *log, const void *bytes, size_t size)
{
	static const char note[] = "\n[the log is full; the rest is not kept]\n";
	size_t some;

	if (!log || size == 0)
		return;
	some = size < log->limit - log->size ? size : (size_t)(log->limit - log->size);
	if (some > 0 && file_write_all(log->fd, bytes, some) == 0)
		log->size += some;
	if (some < size && !log->full && file_write_all(log->fd, note, strlen(note)) == 0)
		log->full = true;
}

void logfile_close(struct logfile *log)
{
	if (!log)
		return;
	cleanup_close(&log->fd);
	free(log);
}
