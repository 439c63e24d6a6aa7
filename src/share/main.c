/*
 * annex-share: serves folders of the host to a machine. Started by share/peer.h only, with the descriptors of
 * share/control.h.
 *
 * It is set up by the first requests, is confined, and only then it looks at what the guest says: one thread runs the
 * device (share/device.c), with its workers; this one goes on to hear the supervisor. It ends with the connection to
 * the front end, well, or with that to the supervisor; and in any case by _exit(), as what runs at the end of a process
 * otherwise (sanitizers' search for leaks above all) needs what a confined process may not do.
 */
#include "base/log.h"
#include "share/control.h"
#include "share/device.h"
#include "share/fuse.h"
#include "share/rights.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum {
	STATUS_BROKEN = 1, /* the front end, or the supervisor, broke the protocol */
	STATUS_USAGE = 2,
	ARENAS = 4,          /* of malloc */
	STACK_SIZE = 4 << 20 /* of a thread, as far as it is used: share/pin.h's depth needs most of it */
};

struct job {
	struct fuse_server *server; /* NULL: SETUP has not come yet */
	struct device_options device;
	bool serves;
};

/* A packet with what comes along. */
struct packet {
	uint8_t bytes[CONTROL_LIMIT];
	size_t size;
	int fds[1];
	unsigned fd_count;
};

static ssize_t serve(struct share_request *request, void *data)
{
	return fuse_serve(data, request);
}

static void *run_device(void *data)
{
	const struct job *job = data;
	struct annex_error *err = NULL;

	if (device_run(CONTROL_DEVICE_FD, &job->device, &err) == 0)
		_exit(0);
	log_info("%s", annex_error_message(err));
	_exit(STATUS_BROKEN);
}

static int set_up(struct job *job, const struct message_share_setup *setup, struct annex_error **err)
{
	const struct fuse_options options = {.guest_uid = setup->uid, .guest_gid = setup->gid};

	if (job->server)
		return fail(err, ANNEX_ERROR_CORRUPT, "it is set up already");
	if (fuse_new(&job->server, &options, err) < 0)
		return -1;
	job->device = (struct device_options){
		.queues = setup->queues, .workers = setup->workers, .serve = serve, .data = job->server};
	return 0;
}

static int add(struct job *job, const struct message_share_add *add, const struct packet *packet,
	       struct annex_error **err)
{
	const struct share_options options = {.name = add->name,
					      .read_only = add->read_only,
					      .cache = (enum share_cache)add->cache,
					      .masks = add->masks};

	if (packet->fd_count != 1)
		return fail(err, ANNEX_ERROR_CORRUPT, "a share without its descriptor");
	return fuse_add_share(job->server, packet->fds[0], &options, err);
}

static int start(struct job *job, struct annex_error **err)
{
	pthread_t thread;
	int result;

	if (job->serves)
		return fail(err, ANNEX_ERROR_CORRUPT, "it serves already");
	result = pthread_create(&thread, NULL, run_device, job);
	if (result != 0)
		return fail_os(err, result, "cannot start a thread");
	pthread_detach(thread);
	job->serves = true;
	return 0;
}

static int handle(struct job *job, const struct control_request *request, const struct packet *packet,
		  struct annex_error **err)
{
	if (request->kind == MESSAGE_SHARE_SETUP)
		return set_up(job, &request->body.setup, err);
	if (!job->server)
		return fail(err, ANNEX_ERROR_CORRUPT, "it is not set up yet");
	if (request->kind == MESSAGE_SHARE_ADD)
		return add(job, &request->body.add, packet, err);
	if (request->kind == MESSAGE_SHARE_REMOVE)
		return fuse_remove_share(job->server, request->body.remove.name, err);
	return start(job, err);
}

static int take(struct job *job, const struct packet *packet)
{
	auto_error struct annex_error *refusal = NULL;
	auto_control_request struct control_request request = {0};
	auto_text struct text answer = {0};

	if (control_decode(&request, packet->bytes, packet->size, &refusal) == 0)
		(void)handle(job, &request, packet, &refusal);
	if (control_encode_answer(&answer, refusal) < 0)
		return -ENOMEM;
	return (int)rights_send(CONTROL_FD, answer.data, answer.size, NULL, 0, 0);
}

/* Until the supervisor is gone. */
static int hear(struct job *job)
{
	static struct packet packet;
	ssize_t got;

	do {
		got = rights_receive(CONTROL_FD, packet.bytes, sizeof(packet.bytes), packet.fds, &packet.fd_count,
				     COUNT_OF(packet.fds), 0);
		packet.size = got > 0 ? (size_t)got : 0;
		if (got > 0)
			got = take(job, &packet);
		rights_close(packet.fds, &packet.fd_count);
	} while (got > 0);
	return (int)got;
}

static void set_limits(void)
{
	struct rlimit files;
	pthread_attr_t attributes;

	/* As many files as may be; what can't be written for its size is an error, and no signal. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){files.rlim_max, files.rlim_max});
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, ARENAS);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_setattr_default_np(&attributes);
	pthread_attr_destroy(&attributes);
}

int main(void)
{
	struct job job = {0};
	struct stat st;
	int result;

	if (fstat(CONTROL_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		fprintf(stderr, "annex-share is started by annex\n");
		return STATUS_USAGE;
	}
	set_limits();
	umask(0);
	if (chdir("/") < 0)
		return STATUS_BROKEN;
	result = hear(&job);
	if (result == 0)
		_exit(0);
	log_info("cannot hear the supervisor: %s", strerror(-result));
	_exit(STATUS_BROKEN);
}
