/*
 * annex-unpack: builds a base disk of layers that strangers made. Started by unpack/unpacker.h only, with the
 * descriptors of unpack/request.h.
 *
 * The request is the parent's, and read first. Then everything that libraries would want to open later is opened, the
 * process is confined, and only then it has a second thread and reads what others wrote. It ends when its parent does,
 * and in any case by _exit(): what runs at the end of a process otherwise (libcrypto's and sanitizers' own work, the
 * search for leaks above all) needs what a confined process may not do.
 */
#include "base/digest.h"
#include "base/file.h"
#include "base/time.h"
#include "rootfs/rootfs.h"
#include "unpack/profile.h"
#include "unpack/report.h"
#include "unpack/request.h"

#include <iconv.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
	STATUS_USAGE = 2,
	STATUS_ABANDONED = 3, /* by the parent */
	REPORT_EVERY_MS = 100,
	ARENAS = 1 /* of malloc: for more it asks in /sys how many there may be, and in /proc whether they may shrink */
};

struct job {
	struct request request;
	uint64_t last_ms; /* when progress was told */
};

static void tell(const struct job *job, const struct report *report)
{
	auto_free char *line = report_encode(report, job->request.count);

	if (!line || file_write_all(REQUEST_REPORT_FD, line, strlen(line)) < 0)
		_exit(STATUS_ABANDONED);
}

static int on_progress(const uint64_t *done, size_t count, void *data)
{
	struct job *job = data;
	uint64_t now = time_monotonic_ms();

	(void)count;
	if (now - job->last_ms < REPORT_EVERY_MS)
		return 0;
	job->last_ms = now;
	tell(job, &(struct report){.kind = REPORT_PROGRESS, .done = (uint64_t *)done});
	return 0;
}

static void on_layer_done(size_t layer, void *data)
{
	tell(data, &(struct report){.kind = REPORT_LAYER, .layer = layer});
}

static void on_finishing(void *data)
{
	tell(data, &(struct report){.kind = REPORT_FINISHING});
}

static void tell_error(const struct job *job, const struct annex_error *err)
{
	tell(job, &(struct report){.kind = REPORT_ERROR,
				   .error = annex_error_kind(err),
				   .os = annex_error_errno(err),
				   .text = (char *)annex_error_message(err),
				   .hint = (char *)annex_error_hint(err)});
}

static int read_request(struct request *ret, struct annex_error **err)
{
	auto_free char *bytes = NULL;
	struct stat st;
	ssize_t got;

	if (fstat(REQUEST_FD, &st) < 0)
		return fail_os(err, errno, "cannot read what to do");
	if (st.st_size < 0 || (uint64_t)st.st_size > REQUEST_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "request: larger than %u bytes", REQUEST_LIMIT);
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return fail_memory(err);
	got = file_read_full(REQUEST_FD, bytes, (size_t)st.st_size);
	if (got < 0)
		return fail_os(err, (int)got, "cannot read what to do");
	return request_decode(ret, bytes, (size_t)got, err);
}

static void *wait_for_parent(void *data)
{
	char byte;
	ssize_t n;

	(void)data;
	do {
		n = read(REQUEST_CONTROL_FD, &byte, 1);
	} while (n > 0 || (n < 0 && errno == EINTR));
	_exit(STATUS_ABANDONED);
}

static int prepare(struct annex_error **err)
{
	/* libarchive will ask for one, which has the C library look for its list of converters, once. */
	(void)iconv_close(iconv_open("ASCII", "UTF-8"));
	mallopt(M_ARENA_MAX, ARENAS);
	if (chdir("/") < 0)
		return fail_os(err, errno, "cannot leave the folder");
	return digest_prepare() < 0 ? fail_memory(err) : 0;
}

static int watch_parent(struct annex_error **err)
{
	pthread_t thread;
	int result = pthread_create(&thread, NULL, wait_for_parent, NULL);

	if (result != 0)
		return fail_os(err, result, "cannot start a thread");
	pthread_detach(thread);
	return 0;
}

static int work(struct job *job, uint64_t *ret_size, struct annex_error **err)
{
	const struct rootfs_events events = {on_progress, on_layer_done, on_finishing, job};
	auto_confinement struct confinement confinement = {0};

	if (read_request(&job->request, err) < 0 || prepare(err) < 0 ||
	    confine_begin(&confinement, &unpack_profile, err) < 0 || confine(&confinement, err) < 0 ||
	    watch_parent(err) < 0)
		return -1;
	return rootfs_build(REQUEST_DISK_FD, job->request.layers, job->request.count, &events, ret_size, err);
}

int main(void)
{
	auto_error struct annex_error *err = NULL;
	struct job job = {.last_ms = time_monotonic_ms()};
	struct stat st;
	uint64_t size = 0;

	if (fstat(REQUEST_REPORT_FD, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		fprintf(stderr, "annex-unpack is started by annex\n");
		return STATUS_USAGE;
	}
	if (work(&job, &size, &err) < 0)
		tell_error(&job, err);
	else
		tell(&job, &(struct report){.kind = REPORT_RESULT, .size = size});
	_exit(0);
}
