/*
 * annex-share: serves folders of the host to a machine. Started by confine/peer.h only, with the descriptors of
 * share/control.h.
 *
 * It is set up by the first requests, is confined, and only then it looks at what the guest says: one thread runs the
 * device (share/device.c), with its workers; this one goes on to hear the supervisor. It ends with the connection to
 * the front end, well, or with that to the supervisor; and in any case by _exit(), as what runs at the end of a process
 * otherwise (sanitizers' search for leaks above all) needs what a confined process may not do.
 */
#include "base/log.h"
#include "confine/answer.h"
#include "confine/peer.h"
#include "confine/rights.h"
#include "share/bridge.h"
#include "share/control.h"
#include "share/device.h"
#include "share/fuse.h"
#include "share/profile.h"
#include "share/router.h"

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
	ARENAS = 4,           /* of malloc */
	FILES_MOST = 1 << 18, /* open: each is memory of the host's kernel */
	STACK_SIZE = 4 << 20  /* of a thread, as far as it is used: share/pin.h's depth needs most of it */
};

/* A packet with what comes along. */
struct packet {
	uint8_t bytes[CONTROL_LIMIT];
	size_t size;
	int fds[BRIDGE_FDS_LIMIT];
	unsigned fd_count;
};

struct job {
	struct fuse_server *server; /* NULL: SETUP has not come yet */
	struct confinement confinement;
	struct router *router;
	struct device_options device;
	int bridge[BRIDGE_FDS_LIMIT]; /* of a further process */
	unsigned bridge_count;
	bool serves;
};

static ssize_t serve(struct share_request *request, void *data)
{
	return router_serve(data, request);
}

static void *run(void *data)
{
	const struct job *job = data;
	struct annex_error *err = NULL;
	int result = job->bridge_count > 0 ? bridge_run(job->bridge, job->bridge_count, serve, job->router, &err)
					   : device_run(CONTROL_DEVICE_FD, &job->device, &err);

	if (result == 0)
		_exit(0);
	log_info("%s", annex_error_message(err));
	_exit(STATUS_BROKEN);
}

static int set_up(struct job *job, const struct message_share_setup *setup, struct annex_error **err)
{
	const struct fuse_options options = {
		.number = (uint16_t)setup->number, .guest_uid = setup->uid, .guest_gid = setup->gid};

	if (job->server)
		return fail(err, ANNEX_ERROR_CORRUPT, "it is set up already");
	if (confine_begin(&job->confinement, &share_profile, err) < 0 || fuse_new(&job->server, &options, err) < 0 ||
	    router_new(&job->router, job->server, err) < 0)
		return -1;
	job->device = (struct device_options){
		.queues = setup->queues, .workers = setup->workers, .serve = serve, .data = job->router};
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
	if (router_has(job->router, add->name))
		return fail(err, ANNEX_ERROR_EXISTS, "there is a share '%s' already", add->name);
	if (!job->serves && confine_allow(&job->confinement, packet->fds[0], !add->read_only, err) < 0)
		return -1;
	return fuse_add_share(job->server, packet->fds[0], &options, err);
}

static int start(struct job *job, struct packet *packet, struct annex_error **err)
{
	pthread_t thread;
	int result;

	if (job->serves)
		return fail(err, ANNEX_ERROR_CORRUPT, "it serves already");
	if (confine(&job->confinement, err) < 0)
		return -1;
	memcpy(job->bridge, packet->fds, sizeof(job->bridge));
	job->bridge_count = packet->fd_count;
	packet->fd_count = 0;
	result = pthread_create(&thread, NULL, run, job);
	if (result != 0)
		return fail_os(err, result, "cannot start a thread");
	pthread_detach(thread);
	job->serves = true;
	return 0;
}

static int handle(struct job *job, const struct control_request *request, struct packet *packet,
		  struct annex_error **err)
{
	if (request->kind == MESSAGE_SHARE_SETUP)
		return set_up(job, &request->body.setup, err);
	if (!job->router)
		return fail(err, ANNEX_ERROR_CORRUPT, "it is not set up yet");
	switch (request->kind) {
	case MESSAGE_SHARE_ADD:
		return add(job, &request->body.add, packet, err);
	case MESSAGE_SHARE_REMOVE:
		return fuse_remove_share(job->server, request->body.remove.name, err);
	case MESSAGE_SHARE_JOIN:
		return router_join(job->router, (uint16_t)request->body.join.number, request->body.join.name,
				   packet->fds, packet->fd_count, err);
	case MESSAGE_SHARE_LEAVE:
		return router_leave(job->router, (uint16_t)request->body.leave.number, err);
	default:
		return start(job, packet, err);
	}
}

static int take(struct job *job, struct packet *packet)
{
	auto_error struct annex_error *refusal = NULL;
	auto_control_request struct control_request request = {0};
	auto_text struct text answer = {0};

	if (control_decode(&request, packet->bytes, packet->size, &refusal) == 0)
		(void)handle(job, &request, packet, &refusal);
	if (answer_encode(&answer, refusal) < 0)
		return -ENOMEM;
	return (int)rights_send(PEER_FD, answer.data, answer.size, NULL, 0, 0);
}

/* Until the supervisor is gone. */
static int hear(struct job *job)
{
	static struct packet packet;
	ssize_t got;

	do {
		got = rights_receive(PEER_FD, packet.bytes, sizeof(packet.bytes), packet.fds, &packet.fd_count,
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

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		rlim_t most = files.rlim_max < FILES_MOST ? files.rlim_max : FILES_MOST;

		setrlimit(RLIMIT_NOFILE, &(struct rlimit){most, most});
	}
	/* What can't be written for its size is an error, and no signal. */
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

	if (fstat(PEER_FD, &st) < 0 || !S_ISSOCK(st.st_mode)) {
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
