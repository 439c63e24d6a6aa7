/*
 * annex-network: a machine's network. Started by confine/peer.h only, asked as network/control.h has it.
 *
 * It is set up by the first requests, which it waits for; is confined; and only then its loop begins to run, and with
 * it to look at what comes from the machine. It ends with the connection to the supervisor, and in any case by _exit(),
 * as what runs at the end of a process otherwise (sanitizers' search for leaks above all) needs what a confined process
 * may not do.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "confine/answer.h"
#include "confine/peer.h"
#include "confine/rights.h"
#include "network/control.h"
#include "network/hub.h"
#include "network/profile.h"

#include <assert.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
	STATUS_BROKEN = 1, /* the supervisor broke the protocol */
	STATUS_USAGE = 2,
	FILES_MOST = 1 << 18, /* open: each is memory of the host's kernel */
	STATM_MAX = 4096,
	STATM_DATA = 5, /* its number in /proc/self/statm, from 0 on */
};

/* Of memory, beyond what it begins with. What is here has its own limits, and they are far below; libslirp has none for
 * some of what a machine may send, and ends the process when there is no more. */
#define MEMORY_MOST (UINT64_C(3) << 30)

struct job {
	struct loop *loop;
	struct loop_source *control;
	struct hub *hub; /* NULL: SETUP has not come yet */
	struct confinement confinement;
	struct message_reader reader;
	int fds[NETWORK_CONTROL_FDS_LIMIT];
	unsigned fd_count;
	bool serves, lists;
};

static int take_fd(struct job *job)
{
	int fd = job->fds[0];

	assert(job->fd_count > 0);
	memmove(job->fds, job->fds + 1, --job->fd_count * sizeof(*job->fds));
	return fd;
}

static int set_up(struct job *job, const struct message_network_setup *setup, struct annex_error **err)
{
	int ethernet = -EBADF, ports = -EBADF;

	if (job->serves && job->fd_count == 0)
		return hub_change(job->hub, setup, err);
	if (job->hub)
		return fail(err, ANNEX_ERROR_CORRUPT, "it is set up already");
	if (network_setup_has_ethernet(setup) || network_setup_has_ports(setup)) {
		if (job->fd_count == 0)
			return fail(err, ANNEX_ERROR_CORRUPT, "a machine's links without their descriptors");
		ethernet = network_setup_has_ethernet(setup) ? take_fd(job) : ethernet;
		ports = network_setup_has_ports(setup) ? take_fd(job) : ports;
	}
	return hub_new(&job->hub, job->loop, setup, ethernet, ports, err);
}

static int start(struct job *job, struct annex_error **err)
{
	if (job->serves)
		return fail(err, ANNEX_ERROR_CORRUPT, "it serves already");
	if (confine_begin(&job->confinement, &network_profile, err) < 0 || confine(&job->confinement, err) < 0)
		return -1;
	job->serves = true;
	return 0;
}

/* --- answers --- */

static int send_frames(const struct text *frames)
{
	size_t at = 0;

	while (at < frames->size) {
		const uint8_t *bytes = (const uint8_t *)frames->data + at;
		struct frame frame;
		size_t size = 0;
		ssize_t sent;

		if (frame_parse(&frame, bytes, frames->size - at, &size) != FRAME_READY)
			return -EINVAL;
		/* The supervisor takes answers always: this waits for it to do so, and not for anybody else. */
		sent = rights_send(PEER_FD, bytes, size, NULL, 0, 0);
		if (sent < 0)
			return (int)sent;
		at += size;
	}
	return 0;
}

static int answer(const struct annex_error *refusal)
{
	auto_text struct text frames = {0};
	int result = answer_encode(&frames, refusal);

	return result < 0 ? result : send_frames(&frames);
}

/* Also from inside hub_list(). */
static void on_list(const char *const *ports, void *data)
{
	struct job *job = data;
	const struct message_network_listed listed = {.ports = ports};
	auto_error struct annex_error *err = NULL;
	auto_text struct text frames = {0};
	int result = ports ? message_put(&frames, MESSAGE_NETWORK_LISTED, 0, &listed) : -ENOMEM;

	job->lists = false;
	if (result < 0) {
		(void)fail_os(&err, result, "cannot tell the machine's ports");
		result = answer(err);
	} else {
		result = send_frames(&frames);
	}
	if (result < 0)
		loop_stop(job->loop, result);
	loop_source_watch(job->control, EPOLLIN);
}

/* --- requests --- */

static int handle(struct job *job, const struct network_request *request, struct annex_error **err)
{
	if (request->kind == MESSAGE_NETWORK_SETUP)
		return set_up(job, &request->body.setup, err);
	if (!job->hub)
		return fail(err, ANNEX_ERROR_CORRUPT, "it is not set up yet");
	switch (request->kind) {
	case MESSAGE_NETWORK_SERVE:
		return start(job, err);
	case MESSAGE_NETWORK_UPLINK:
		return hub_set_uplink(job->hub, job->fd_count > 0 ? take_fd(job) : -EBADF, err);
	case MESSAGE_NETWORK_PUBLISH:
		return hub_publish(job->hub, request->body.publish.port, err);
	case MESSAGE_NETWORK_UNPUBLISH:
		return hub_unpublish(job->hub, request->body.unpublish.port, err);
	case MESSAGE_NETWORK_RESOLVE:
		return hub_resolve(job->hub, &request->body.resolve, err);
	default:
		if (!job->serves)
			return fail(err, ANNEX_ERROR_CORRUPT, "it does not serve yet");
		job->lists = true;
		return hub_list(job->hub, on_list, job, err);
	}
}

static int take(struct job *job, const struct message *message)
{
	auto_error struct annex_error *refusal = NULL;
	auto_network_request struct network_request request = {0};
	int result = network_control_decode(&request, message, job->fd_count, &refusal);

	if (result == 0)
		result = handle(job, &request, &refusal);
	rights_close(job->fds, &job->fd_count);
	if (result == 0 && request.kind == MESSAGE_NETWORK_LIST)
		return 0;
	job->lists = false;
	return answer(refusal);
}

/* One packet; 1: there was one, 0: the supervisor is gone. -errno. */
static int hear(struct job *job, int flags)
{
	uint8_t packet[FRAME_MAX];
	struct message message;
	enum frame_result read;
	size_t used = 0;
	ssize_t got =
		rights_receive(PEER_FD, packet, sizeof(packet), job->fds, &job->fd_count, COUNT_OF(job->fds), flags);
	int result = 0;

	if (got == -ECONNRESET)
		return 0;
	if (got <= 0)
		return (int)got;
	read = message_read(&job->reader, &message, packet, (size_t)got, &used);
	if (read == FRAME_BROKEN || used != (size_t)got)
		return -EPROTO;
	if (read == FRAME_READY)
		result = take(job, &message);
	return result < 0 ? result : 1;
}

static void on_control(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct job *job = data;
	int result = hear(job, MSG_DONTWAIT);

	(void)fd, (void)events;
	if (result <= 0 && result != -EAGAIN)
		loop_stop(job->loop, result);
	else if (job->lists)
		loop_source_watch(source, 0); /* one thing at a time */
}

/* Until the supervisor is gone. -errno. */
static int run(struct job *job)
{
	int result = loop_new(&job->loop);

	if (result == 0)
		result = loop_add_fd(&job->control, job->loop, PEER_FD, EPOLLIN, on_control, job);
	if (result < 0)
		return result;
	while (!job->serves) {
		result = hear(job, 0);
		if (result <= 0)
			return result;
	}
	return loop_run(job->loop);
}

/* Bytes in use, as RLIMIT_DATA counts them; sanitizers have very many. 0: not known. */
static uint64_t memory_in_use(void)
{
	auto_free char *text = NULL;
	char *rest, *word;
	uint64_t pages = 0;

	if (file_read(&text, NULL, AT_FDCWD, "/proc/self/statm", STATM_MAX) < 0)
		return 0;
	word = strtok_r(text, " ", &rest);
	for (unsigned i = 0; word && i < STATM_DATA; i++)
		word = strtok_r(NULL, " ", &rest);
	return word && text_to_u64(&pages, word, 10) == 0 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void limit_memory(void)
{
	uint64_t most = memory_in_use() + MEMORY_MOST;
	struct rlimit memory;

	if (getrlimit(RLIMIT_DATA, &memory) < 0 || memory.rlim_max < most)
		return;
	setrlimit(RLIMIT_DATA, &(struct rlimit){most, most});
}

static void set_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		rlim_t most = files.rlim_max < FILES_MOST ? files.rlim_max : FILES_MOST;

		setrlimit(RLIMIT_NOFILE, &(struct rlimit){most, most});
	}
	limit_memory();
	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, 1);
}

int main(void)
{
	static struct job job;
	struct stat st;
	int result;

	if (fstat(PEER_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		fprintf(stderr, "annex-network is started by annex\n");
		return STATUS_USAGE;
	}
	set_limits();
	umask(077);
	if (chdir("/") < 0)
		return STATUS_BROKEN;
	result = run(&job);
	if (result == 0)
		_exit(0);
	log_info("cannot hear the supervisor: %s", strerror(-result));
	_exit(STATUS_BROKEN);
}
