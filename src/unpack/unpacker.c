/*
 * The child gets its request in a file in memory, so that starting never waits for it to read, and tells by lines on a
 * pipe. Its control descriptor is a pipe whose other end only we hold: it ends with us, however we end, and the child
 * with it. One epoll descriptor stands for the pipes and the process.
 *
 * It has ended when its end of the report pipe is closed. That happens after its status is settled; should it live on
 * with the pipe closed, it is killed: so waiting for it never takes long.
 */
#include "unpack/unpacker.h"

#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/text.h"
#include "confine/child.h"
#include "unpack/report.h"
#include "unpack/request.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Reads of one call of unpacker_dispatch(): a child that talks without end does not hold it up. */
enum { READS_AT_ONCE = 16 };

struct unpacker {
	pid_t pid; /* 0: there is none to wait for */
	int process, control, reports, errors, epoll;
	size_t count;
	uint64_t *total, *done; /* of each layer's blob */
	bool *complete;
	bool finishing, has_result, discredited;
	uint64_t size;
	char line[REPORT_LIMIT];
	size_t used;
	struct text said; /* on standard error */
};

static int make_request(int *ret, const struct rootfs_layer *layers, size_t count, struct annex_error **err)
{
	auto_free char *text = request_encode(layers, count);
	auto_close int fd = -1;
	int result;

	if (!text)
		return fail_memory(err);
	fd = memfd_create("annex-request", MFD_CLOEXEC);
	if (fd < 0)
		return fail_os(err, errno, "cannot hand over the layers");
	result = file_write_all(fd, text, strlen(text));
	if (result < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return fail_os(err, result < 0 ? result : errno, "cannot hand over the layers");
	*ret = TAKE_FD(fd);
	return 0;
}

/* The child's ends of the pipes, and what it is given. */
struct ends {
	int control, reports, errors, request;
};

static void close_ends(struct ends *ends)
{
	cleanup_close(&ends->control);
	cleanup_close(&ends->reports);
	cleanup_close(&ends->errors);
	cleanup_close(&ends->request);
}

static int open_pipe(int *reader, int *writer, struct annex_error **err)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot make a pipe");
	*reader = pipes[0];
	*writer = pipes[1];
	return 0;
}

static int open_all(struct unpacker *unpacker, struct ends *ends, struct annex_error **err)
{
	if (open_pipe(&ends->control, &unpacker->control, err) < 0 ||
	    open_pipe(&unpacker->reports, &ends->reports, err) < 0 ||
	    open_pipe(&unpacker->errors, &ends->errors, err) < 0)
		return -1;
	unpacker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (unpacker->epoll < 0)
		return fail_os(err, errno, "cannot watch a process");
	for (int i = 0; i < 2; i++) {
		int fd = i == 0 ? unpacker->reports : unpacker->errors;

		if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
		    epoll_ctl(unpacker->epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN}) < 0)
			return fail_os(err, errno, "cannot watch a process");
	}
	return 0;
}

/* The layers as the child knows them: by its own numbers. */
struct passed {
	struct rootfs_layer *layers;
	struct spawn_fd *fds;
	size_t fd_count;
};

static void pass(struct passed *passed, int *fd)
{
	int number = REQUEST_FIRST_FD + (int)passed->fd_count;

	passed->fds[passed->fd_count++] = (struct spawn_fd){*fd, number};
	*fd = number;
}

static int pass_all(struct passed *passed, const struct rootfs_layer *layers, size_t count, struct annex_error **err)
{
	passed->layers = calloc(count + 1, sizeof(*passed->layers));
	/* Room for the descriptors that are no layer's, behind. */
	passed->fds = calloc(count * REQUEST_LAYER_FDS + REQUEST_FIRST_FD, sizeof(*passed->fds));
	if (!passed->layers || !passed->fds)
		return fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		struct rootfs_layer *layer = &passed->layers[i];

		*layer = layers[i];
		pass(passed, &layer->index);
		if (layer->source == ROOTFS_DECODE) {
			pass(passed, &layer->fd);
		} else if (layer->source == ROOTFS_COPY) {
			pass(passed, &layer->donor_index);
			pass(passed, &layer->donor_disk);
		}
	}
	return 0;
}

static int start(struct unpacker *unpacker, const char *program, const struct ends *ends, struct passed *passed,
		 int disk, struct annex_error **err)
{
	const struct spawn_fd own[] = {{ends->control, REQUEST_CONTROL_FD},
				       {ends->errors, STDERR_FILENO},
				       {ends->reports, REQUEST_REPORT_FD},
				       {ends->request, REQUEST_FD},
				       {disk, REQUEST_DISK_FD}};
	auto_text_list struct text_list list = {0};
	const struct spawn_options options = {
		.argv = (const char *const[]){program, NULL},
		.environment = child_environment(&list),
		.fds = passed->fds,
		.fd_count = passed->fd_count + COUNT_OF(own),
		.new_session = true, /* what is typed on the terminal is for the parent, which decides */
		.parent_death_signal = SIGKILL,
	};

	_Static_assert(COUNT_OF(own) <= REQUEST_FIRST_FD, "pass_all() makes room");
	if (!options.environment)
		return fail_memory(err);
	memcpy(&passed->fds[passed->fd_count], own, sizeof(own));
	return spawn(&unpacker->pid, &unpacker->process, &options, err);
}

static struct unpacker *allocate(const struct rootfs_layer *layers, size_t count)
{
	struct unpacker *unpacker = calloc(1, sizeof(*unpacker));

	if (!unpacker)
		return NULL;
	unpacker->process = unpacker->control = unpacker->reports = unpacker->errors = unpacker->epoll = -1;
	unpacker->count = count;
	unpacker->total = calloc(count + 1, sizeof(*unpacker->total));
	unpacker->done = calloc(count + 1, sizeof(*unpacker->done));
	unpacker->complete = calloc(count + 1, sizeof(*unpacker->complete));
	if (!unpacker->total || !unpacker->done || !unpacker->complete) {
		unpacker_free(unpacker);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		unpacker->total[i] = layers[i].size;
	return unpacker;
}

int unpacker_start(struct unpacker **ret, const char *program, int disk, const struct rootfs_layer *layers,
		   size_t count, struct annex_error **err)
{
	auto_unpacker struct unpacker *unpacker = allocate(layers, count);
	struct ends ends = {-1, -1, -1, -1};
	struct passed passed = {0};
	int result;

	if (!unpacker)
		return fail_memory(err);
	if (count > REQUEST_LAYERS)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "more than %u layers", REQUEST_LAYERS);
	result = open_all(unpacker, &ends, err);
	if (result == 0)
		result = pass_all(&passed, layers, count, err);
	if (result == 0)
		result = make_request(&ends.request, passed.layers, count, err);
	if (result == 0)
		result = start(unpacker, program, &ends, &passed, disk, err);
	close_ends(&ends);
	free(passed.layers);
	free(passed.fds);
	if (result < 0 && err && annex_error_errno(*err) == EMFILE)
		return fail_hint(err, "ulimit -n %zu", (count + 64) * 2 * REQUEST_LAYER_FDS);
	if (result < 0)
		return -1;
	*ret = TAKE(unpacker);
	return 0;
}

/* Waits for the process, which is made sure to end. The wait status, or -1 when somebody else has waited for it. */
static int reap(struct unpacker *unpacker)
{
	int status = -1;

	if (unpacker->pid <= 0)
		return -1;
	syscall(SYS_pidfd_send_signal, unpacker->process, SIGKILL, NULL, 0u);
	while (waitpid(unpacker->pid, &status, 0) < 0) {
		if (errno != EINTR) {
			status = -1;
			break;
		}
	}
	unpacker->pid = 0;
	return status;
}

/* What it said on standard error. */
static void hear(struct unpacker *unpacker)
{
	char chunk[4096];

	for (int i = 0; i < READS_AT_ONCE; i++) {
		ssize_t n = read(unpacker->errors, chunk, sizeof(chunk));

		if (n <= 0) {
			if (n == 0 || errno != EAGAIN)
				epoll_ctl(unpacker->epoll, EPOLL_CTL_DEL, unpacker->errors, NULL);
			return;
		}
		if (unpacker->said.size + (size_t)n <= UNPACKER_ERRORS)
			text_add_bytes(&unpacker->said, chunk, (size_t)n);
	}
}

static void log_said(struct unpacker *unpacker)
{
	auto_free char *copy = text_ok(&unpacker->said) && unpacker->said.data ? strdup(unpacker->said.data) : NULL;
	char *left = copy, *line;

	while (left && (line = strsep(&left, "\n"))) {
		if (*line)
			log_debug("annex-unpack: %s", line);
	}
}

static int describe_death(struct unpacker *unpacker, int status, struct annex_error **err)
{
	auto_free char *said = text_ok(&unpacker->said) ? child_complaint(unpacker->said.data) : NULL;

	if (status != 0)
		return child_death("annex-unpack", status, said, "don't trust this image", err);
	return fail(err, ANNEX_ERROR_SYSTEM, "annex-unpack ended without a result%s%s", said ? ": " : "",
		    said ? said : "");
}

static int end(struct unpacker *unpacker, struct annex_error **err)
{
	int status = reap(unpacker);

	hear(unpacker);
	if (status == -1 && unpacker->has_result)
		status = 0;
	if (status == 0 && unpacker->has_result)
		return 0;
	/* Those that are killed may have been killed for their memory, or by hand. */
	unpacker->discredited = status != -1 && (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL);
	return describe_death(unpacker, status == -1 ? 0 : status, err);
}

static int take_progress(struct unpacker *unpacker, const uint64_t *done, struct annex_error **err)
{
	for (size_t i = 0; i < unpacker->count; i++) {
		if (done[i] < unpacker->done[i] || done[i] > unpacker->total[i])
			return fail(err, ANNEX_ERROR_CORRUPT, "layer %zu of %zu: impossible progress", i + 1,
				    unpacker->count);
	}
	memcpy(unpacker->done, done, unpacker->count * sizeof(*done));
	return 0;
}

/* What an error can be about, when layers are decoded. */
static unsigned known_kind(unsigned kind)
{
	switch (kind) {
	case ANNEX_ERROR_SYSTEM:
	case ANNEX_ERROR_UNSUPPORTED:
	case ANNEX_ERROR_NO_MEMORY:
		return kind;
	default:
		return ANNEX_ERROR_CORRUPT;
	}
}

static int take_report(struct unpacker *unpacker, const struct report *report, struct annex_error **err)
{
	switch (report->kind) {
	case REPORT_PROGRESS:
		unpacker->discredited = take_progress(unpacker, report->done, err) < 0;
		return unpacker->discredited ? -1 : 0;
	case REPORT_LAYER:
		unpacker->complete[report->layer] = true;
		unpacker->done[report->layer] = unpacker->total[report->layer];
		return 0;
	case REPORT_FINISHING:
		unpacker->finishing = true;
		return 0;
	case REPORT_RESULT:
		unpacker->has_result = true;
		unpacker->size = report->size;
		return 0;
	case REPORT_ERROR:
		return fail_relayed(err, known_kind(report->error), report->os, report->text, report->hint);
	}
	assert(false); /* every kind is taken above */
	return -1;
}

static int take_line(struct unpacker *unpacker, const char *line, size_t size, struct annex_error **err)
{
	auto_report struct report report = {0};

	if (report_decode(&report, line, size, unpacker->count, err) < 0) {
		unpacker->discredited = true;
		return fail_while(err, "annex-unpack makes no sense");
	}
	return take_report(unpacker, &report, err);
}

static int take_lines(struct unpacker *unpacker, struct annex_error **err)
{
	char *at = unpacker->line, *end = unpacker->line + unpacker->used, *newline;

	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		if (take_line(unpacker, at, (size_t)(newline - at), err) < 0)
			return -1;
		at = newline + 1;
	}
	unpacker->used = (size_t)(end - at);
	memmove(unpacker->line, at, unpacker->used);
	if (unpacker->used < sizeof(unpacker->line))
		return 0;
	unpacker->discredited = true;
	return fail(err, ANNEX_ERROR_CORRUPT, "annex-unpack makes no sense: a line too long");
}

int unpacker_dispatch(struct unpacker *unpacker, bool *ret_ended, struct annex_error **err)
{
	bool ended = false;

	hear(unpacker);
	for (int i = 0; i < READS_AT_ONCE; i++) {
		ssize_t n = read(unpacker->reports, unpacker->line + unpacker->used,
				 sizeof(unpacker->line) - unpacker->used);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_os(err, errno, "cannot hear annex-unpack");
		ended = n == 0;
		if (ended && end(unpacker, err) < 0)
			return -1;
		if (ended)
			break;
		unpacker->used += (size_t)n;
		if (take_lines(unpacker, err) < 0)
			return -1;
	}
	*ret_ended = ended;
	return 0;
}

int unpacker_fd(const struct unpacker *unpacker)
{
	return unpacker->epoll;
}

uint64_t unpacker_done(const struct unpacker *unpacker, size_t layer)
{
	return unpacker->done[layer];
}

bool unpacker_is_layer_done(const struct unpacker *unpacker, size_t layer)
{
	return unpacker->complete[layer];
}

bool unpacker_is_discredited(const struct unpacker *unpacker)
{
	return unpacker->discredited;
}

bool unpacker_is_finishing(const struct unpacker *unpacker)
{
	return unpacker->finishing;
}

uint64_t unpacker_size(const struct unpacker *unpacker)
{
	return unpacker->size;
}

void unpacker_free(struct unpacker *unpacker)
{
	if (!unpacker)
		return;
	reap(unpacker);
	log_said(unpacker);
	cleanup_close(&unpacker->process);
	cleanup_close(&unpacker->control);
	cleanup_close(&unpacker->reports);
	cleanup_close(&unpacker->errors);
	cleanup_close(&unpacker->epoll);
	text_clear(&unpacker->said);
	free(unpacker->total);
	free(unpacker->done);
	free(unpacker->complete);
	free(unpacker);
}
