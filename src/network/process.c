/*
 * What is asked waits in a queue, and is asked one by one. The first requests set annex-network up and have it serve,
 * and a refusal of one of those ends it; each of the others has its answer.
 */
#include "network/process.h"

#include "confine/peer.h"
#include "network/control.h"

#include <assert.h>
#include <fcntl.h>

struct task {
	struct task *next;
	bool first; /* of those that set it up; the last of them is SERVE */
	enum message_kind kind;
	struct text frames;
	int fds[NETWORK_CONTROL_FDS_LIMIT];
	unsigned fd_count;
	network_answer_fn *answer;
	void *data;
};

struct network_process {
	const struct network_callbacks *callbacks;
	void *data;
	struct peer *peer;
	struct task *tasks; /* the first one is asked */
	struct task **last;
	unsigned waiting;
	bool ended;
	bool *freed; /* to be told when that happens inside a callback */
};

/* --- the queue --- */

static void task_free(struct task *task)
{
	if (!task)
		return;
	text_clear(&task->frames);
	for (unsigned i = 0; i < task->fd_count; i++)
		close(task->fds[i]);
	free(task);
}

static void cleanup_task(struct task **task)
{
	task_free(*task);
}
#define auto_task CLEANUP(cleanup_task)

static int task_new(struct task **ret, enum message_kind kind, const void *body, struct annex_error **err)
{
	auto_task struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return fail_memory(err);
	task->kind = kind;
	if (network_control_encode(&task->frames, kind, body, err) < 0)
		return -1;
	*ret = TAKE(task);
	return 0;
}

static int task_give(struct task *task, int fd, struct annex_error **err)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (own < 0)
		return fail_os(err, errno, "cannot hand over a link");
	assert(task->fd_count < NETWORK_CONTROL_FDS_LIMIT);
	task->fds[task->fd_count++] = own;
	return 0;
}

static void enqueue(struct network_process *process, struct task *task)
{
	*process->last = task;
	process->last = &task->next;
	process->waiting++;
}

static struct task *dequeue(struct network_process *process)
{
	struct task *task = process->tasks;

	if (!task)
		return NULL;
	process->tasks = task->next;
	if (!process->tasks)
		process->last = &process->tasks;
	process->waiting--;
	return task;
}

static int ask(struct network_process *process, struct task *task, struct annex_error **err)
{
	int result = peer_ask(process->peer, &task->frames, task->fds, task->fd_count, err);

	while (task->fd_count > 0)
		close(task->fds[--task->fd_count]);
	return result;
}

/* --- answers --- */

/* Of the first task, which is over. False: the process was freed by who was told. */
static bool finish(struct network_process *process, const struct annex_error *refusal, const char *const *ports)
{
	auto_task struct task *task = dequeue(process);
	bool freed = false;

	process->freed = &freed;
	if (task->first && refusal)
		peer_end(process->peer, refusal);
	else if (task->kind == MESSAGE_NETWORK_SERVE && process->callbacks->on_serving)
		process->callbacks->on_serving(process->data);
	else if (task->answer)
		task->answer(refusal, ports, task->data);
	if (!freed)
		process->freed = NULL;
	return !freed;
}

/* Until one waits for its answer. */
static void go_on(struct network_process *process)
{
	bool goes_on = true;

	while (goes_on && process->tasks && !process->ended) {
		auto_error struct annex_error *err = NULL;

		if (ask(process, process->tasks, &err) == 0)
			return;
		goes_on = finish(process, err, NULL);
	}
}

static void on_answer(const struct annex_error *refusal, void *data)
{
	struct network_process *process = data;
	auto_error struct annex_error *err = NULL;

	if (!refusal && process->tasks->kind == MESSAGE_NETWORK_LIST) {
		(void)fail(&err, ANNEX_ERROR_CORRUPT, "annex-network makes no sense: no list of ports");
		peer_end(process->peer, err);
		return;
	}
	if (finish(process, refusal, NULL))
		go_on(process);
}

static int on_message(const struct message *message, void *data, struct annex_error **err)
{
	struct network_process *process = data;
	struct message_network_listed listed;
	bool goes_on;

	if (process->tasks->kind != MESSAGE_NETWORK_LIST)
		return fail(err, ANNEX_ERROR_CORRUPT, "a list that it was not asked for");
	if (network_control_decode_listed(&listed, message, err) < 0)
		return -1;
	goes_on = finish(process, NULL, listed.ports);
	message_clear(&listed, MESSAGE_NETWORK_LISTED);
	if (goes_on)
		go_on(process);
	return 0;
}

static void on_ended(const struct annex_error *why, void *data)
{
	struct network_process *process = data;
	auto_error struct annex_error *err = NULL;

	process->ended = true;
	(void)fail(&err, ANNEX_ERROR_BUSY, "the machine's network is gone");
	while (process->tasks) {
		process->tasks->first = false;
		if (process->tasks->kind == MESSAGE_NETWORK_SERVE)
			process->tasks->kind = MESSAGE_NETWORK_SETUP; /* it never served */
		if (!finish(process, err, NULL))
			return;
	}
	process->callbacks->on_ended(why, process->data);
}

static const struct peer_callbacks peer_callbacks = {
	.on_answer = on_answer, .on_message = on_message, .on_ended = on_ended};

/* --- from outside --- */

static int enqueue_first(struct network_process *process, enum message_kind kind, const void *body, const int *fds,
			 size_t count, struct annex_error **err)
{
	auto_task struct task *task = NULL;

	if (task_new(&task, kind, body, err) < 0)
		return -1;
	task->first = true;
	for (size_t i = 0; i < count; i++) {
		if (fds[i] >= 0 && task_give(task, fds[i], err) < 0)
			return -1;
	}
	enqueue(process, TAKE(task));
	return 0;
}

static int enqueue_all(struct network_process *process, const struct network_process_options *options,
		       struct annex_error **err)
{
	const int links[] = {options->ethernet, options->ports};

	assert(network_setup_has_ethernet(&options->setup) == (options->ethernet >= 0));
	assert(network_setup_has_ports(&options->setup) == (options->ports >= 0));
	if (enqueue_first(process, MESSAGE_NETWORK_SETUP, &options->setup, links, COUNT_OF(links), err) < 0)
		return -1;
	if (options->resolve && enqueue_first(process, MESSAGE_NETWORK_RESOLVE, options->resolve, NULL, 0, err) < 0)
		return -1;
	if (options->uplink >= 0 && enqueue_first(process, MESSAGE_NETWORK_UPLINK, NULL, &options->uplink, 1, err) < 0)
		return -1;
	return enqueue_first(process, MESSAGE_NETWORK_SERVE, NULL, NULL, 0, err);
}

int network_process_start(struct network_process **ret, struct loop *loop,
			  const struct network_process_options *options, const struct network_callbacks *callbacks,
			  void *data, struct annex_error **err)
{
	const struct peer_options peer = {.program = options->program, .name = NETWORK_PROCESS_PROGRAM};
	auto_network_process struct network_process *process = calloc(1, sizeof(*process));

	if (!process)
		return fail_memory(err);
	process->last = &process->tasks;
	process->callbacks = callbacks;
	process->data = data;
	if (enqueue_all(process, options, err) < 0 ||
	    peer_start(&process->peer, loop, &peer, &peer_callbacks, process, err) < 0 ||
	    ask(process, process->tasks, err) < 0)
		return -1;
	*ret = TAKE(process);
	return 0;
}

/* One that is alone in the queue is asked at once, unless an answer is just being told: then behind that. */
static int request(struct network_process *process, enum message_kind kind, const void *body, int fd,
		   network_answer_fn *answer, void *data, struct annex_error **err)
{
	auto_task struct task *task = NULL;

	if (process->ended)
		return fail(err, ANNEX_ERROR_BUSY, "the machine's network is gone");
	if (process->waiting >= NETWORK_PROCESS_WAITING_LIMIT)
		return fail(err, ANNEX_ERROR_BUSY, "too many changes of the machine's network wait to be done");
	if (task_new(&task, kind, body, err) < 0 || (fd >= 0 && task_give(task, fd, err) < 0))
		return -1;
	task->answer = answer;
	task->data = data;
	if (process->waiting == 0 && !process->freed && ask(process, task, err) < 0)
		return -1;
	enqueue(process, TAKE(task));
	return 0;
}

int network_process_uplink(struct network_process *process, int uplink, network_answer_fn *answer, void *data,
			   struct annex_error **err)
{
	return request(process, MESSAGE_NETWORK_UPLINK, NULL, uplink, answer, data, err);
}

int network_process_publish(struct network_process *process, const char *port, network_answer_fn *answer, void *data,
			    struct annex_error **err)
{
	const struct message_publish body = {.port = port};

	return request(process, MESSAGE_NETWORK_PUBLISH, &body, -1, answer, data, err);
}

int network_process_unpublish(struct network_process *process, const char *port, network_answer_fn *answer, void *data,
			      struct annex_error **err)
{
	const struct message_unpublish body = {.port = port};

	return request(process, MESSAGE_NETWORK_UNPUBLISH, &body, -1, answer, data, err);
}

int network_process_list(struct network_process *process, network_answer_fn *answer, void *data,
			 struct annex_error **err)
{
	return request(process, MESSAGE_NETWORK_LIST, NULL, -1, answer, data, err);
}

int network_process_resolve(struct network_process *process, const struct message_network_resolve *resolve,
			    network_answer_fn *answer, void *data, struct annex_error **err)
{
	return request(process, MESSAGE_NETWORK_RESOLVE, resolve, -1, answer, data, err);
}

int network_process_change(struct network_process *process, const struct message_network_setup *setup,
			   network_answer_fn *answer, void *data, struct annex_error **err)
{
	return request(process, MESSAGE_NETWORK_SETUP, setup, -1, answer, data, err);
}

pid_t network_process_pid(const struct network_process *process)
{
	return peer_pid(process->peer);
}

void network_process_free(struct network_process *process)
{
	if (!process)
		return;
	if (process->freed)
		*process->freed = true;
	peer_free(process->peer);
	while (process->tasks)
		task_free(dequeue(process));
	free(process);
}
