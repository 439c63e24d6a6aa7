/*
 * What is asked waits in a queue, and goes to annex-share one by one: the first requests set it up and have it serve,
 * and a refusal of one of those ends it; each of the others has its answer.
 */
#include "share/process.h"

#include "share/control.h"
#include "share/peer.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

enum { WORKERS = 4 };

struct request {
	struct request *next;
	struct text packet;
	int fd;     /* -EBADF: none */
	bool first; /* before it serves: nobody else asked for it */
};

struct share_process {
	const struct share_callbacks *callbacks;
	void *data;
	struct peer *peer;
	struct request *requests; /* the first one is under way */
	struct request **last;
	unsigned waiting;
	bool ended;
	bool *freed; /* to be told when that happens inside a callback */
};

/* --- the queue --- */

static void request_free(struct request *request)
{
	if (!request)
		return;
	text_clear(&request->packet);
	cleanup_close(&request->fd);
	free(request);
}

static void cleanup_request(struct request **request)
{
	request_free(*request);
}

static int enqueue(struct share_process *process, enum message_kind kind, const void *body, int fd, bool first,
		   struct annex_error **err)
{
	CLEANUP(cleanup_request) struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return fail_memory(err);
	request->fd = -EBADF;
	request->first = first;
	if (control_encode(&request->packet, kind, body, err) < 0)
		return -1;
	if (fd >= 0) {
		request->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (request->fd < 0)
			return fail_os(err, errno, "cannot hand over what is shared");
	}
	*process->last = request;
	process->last = &request->next;
	process->waiting++;
	request = NULL;
	return 0;
}

static int enqueue_add(struct share_process *process, const struct share_process_share *share, bool first,
		       struct annex_error **err)
{
	const struct message_share_add add = {.name = share->options.name,
					      .read_only = share->options.read_only,
					      .cache = (uint32_t)share->options.cache,
					      .masks = share->options.masks};

	return enqueue(process, MESSAGE_SHARE_ADD, &add, share->fd, first, err);
}

/* The request that was under way. */
static struct request *dequeue(struct share_process *process)
{
	struct request *request = process->requests;

	if (!request)
		return NULL;
	process->requests = request->next;
	if (!process->requests)
		process->last = &process->requests;
	process->waiting--;
	return request;
}

/* Asks for the first in the queue. */
static int ask(struct share_process *process, struct annex_error **err)
{
	const struct request *request = process->requests;

	return peer_ask(process->peer, &request->packet, &request->fd, request->fd >= 0, err);
}

/* --- answers --- */

/* False: the process was freed by who was told. */
static bool tell(struct share_process *process, const struct annex_error *refusal)
{
	bool freed = false;

	process->freed = &freed;
	process->callbacks->on_done(refusal, process->data);
	if (!freed)
		process->freed = NULL;
	return !freed;
}

static void on_answer(const struct annex_error *refusal, void *data)
{
	struct share_process *process = data;
	CLEANUP(cleanup_request) struct request *done = dequeue(process);
	auto_error struct annex_error *err = NULL;

	if (done->first && refusal) {
		peer_end(process->peer, refusal);
		return;
	}
	if (!done->first && !tell(process, refusal))
		return;
	if (process->requests && ask(process, &err) < 0)
		peer_end(process->peer, err);
}

static void on_ended(const struct annex_error *why, void *data)
{
	struct share_process *process = data;
	auto_error struct annex_error *err = NULL;
	struct request *request;

	process->ended = true;
	(void)fail(&err, ANNEX_ERROR_BUSY, "the machine's files are no longer served");
	while ((request = dequeue(process))) {
		bool first = request->first;

		request_free(request);
		if (!first && !tell(process, why ? why : err))
			return;
	}
	process->callbacks->on_ended(why, process->data);
}

static const struct peer_callbacks peer_callbacks = {.on_answer = on_answer, .on_ended = on_ended};

/* --- from outside --- */

static int enqueue_first(struct share_process *process, const struct share_process_options *options,
			 const struct share_process_share *shares, size_t count, struct annex_error **err)
{
	const struct message_share_setup setup = {
		.queues = options->queues, .workers = WORKERS, .uid = options->uid, .gid = options->gid};

	if (enqueue(process, MESSAGE_SHARE_SETUP, &setup, -EBADF, true, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (enqueue_add(process, &shares[i], true, err) < 0)
			return fail_while(err, "cannot share '%s'", shares[i].source);
	}
	return enqueue(process, MESSAGE_SHARE_SERVE, NULL, -EBADF, true, err);
}

int share_process_start(struct share_process **ret, int *ret_device, struct loop *loop,
			const struct share_process_options *options, const struct share_process_share *shares,
			size_t count, const struct share_callbacks *callbacks, void *data, struct annex_error **err)
{
	auto_share_process struct share_process *process = calloc(1, sizeof(*process));
	auto_close int front = -EBADF, back = -EBADF;
	struct spawn_fd device;
	int pair[2];

	if (!process)
		return fail_memory(err);
	process->callbacks = callbacks;
	process->data = data;
	process->last = &process->requests;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_os(err, errno, "cannot make a socket");
	front = pair[0];
	back = pair[1];
	device = (struct spawn_fd){back, CONTROL_DEVICE_FD};
	if (enqueue_first(process, options, shares, count, err) < 0 ||
	    peer_start(&process->peer, loop, options->program, &device, 1, &peer_callbacks, process, err) < 0 ||
	    ask(process, err) < 0)
		return -1;
	*ret_device = TAKE_FD(front);
	*ret = TAKE(process);
	return 0;
}

static int may_ask(const struct share_process *process, struct annex_error **err)
{
	if (process->ended)
		return fail(err, ANNEX_ERROR_BUSY, "the machine's files are no longer served");
	if (process->waiting >= SHARE_PROCESS_WAITING_LIMIT)
		return fail(err, ANNEX_ERROR_BUSY, "too many changes of what is shared wait to be done");
	return 0;
}

/* What was put into the queue last goes at once when it is alone there, unless an answer is just being told: then it
 * goes behind that. */
static int go_on(struct share_process *process, struct annex_error **err)
{
	if (process->freed || process->waiting > 1 || ask(process, err) == 0)
		return 0;
	request_free(dequeue(process));
	return -1;
}

int share_process_add(struct share_process *process, const struct share_process_share *share, struct annex_error **err)
{
	if (may_ask(process, err) < 0 || enqueue_add(process, share, false, err) < 0)
		return -1;
	return go_on(process, err);
}

int share_process_remove(struct share_process *process, const char *name, struct annex_error **err)
{
	const struct message_share_remove body = {.name = name};

	if (may_ask(process, err) < 0 || enqueue(process, MESSAGE_SHARE_REMOVE, &body, -EBADF, false, err) < 0)
		return -1;
	return go_on(process, err);
}

pid_t share_process_pid(const struct share_process *process)
{
	return peer_pid(process->peer);
}

void share_process_free(struct share_process *process)
{
	struct request *request;

	if (!process)
		return;
	if (process->freed)
		*process->freed = true;
	peer_free(process->peer);
	while ((request = dequeue(process)))
		request_free(request);
	free(process);
}
