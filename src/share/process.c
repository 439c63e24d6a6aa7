/*
 * What is asked waits in a queue, and is done one by one. The first tasks set annex-share up and have it serve, and a
 * refusal of one of those ends it; each of the others has its answer.
 *
 * What a process may reach is settled when it starts to serve. A share that is added later goes to the process that has
 * the device if it lies within what that may reach; else a further process is started for it alone, and the process
 * with the device passes the guest's requests on to it (share/router.h). Where Landlock is not used, all goes to the
 * one process. A further process that dies takes its share with it, and nothing else.
 */
#include "share/process.h"

#include "base/log.h"
#include "confine/support.h"
#include "share/control.h"
#include "share/further.h"
#include "share/profile.h"
#include "confine/rights.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

enum { WORKERS = 4 }; /* and slots of a bridge, so that no worker waits for one */

enum task_kind { TASK_FIRST, TASK_ADD, TASK_ADD_FURTHER, TASK_REMOVE };

struct task {
	struct task *next;
	enum task_kind kind;
	struct text packet;
	int fd; /* -EBADF: none */
	char *name;
	unsigned step;
	struct further *further;
};

/* What the process with the device may reach. */
struct reach {
	char *source;
	bool changes;
};

struct share_process {
	struct loop *loop;
	char *program;
	struct message_share_setup setup;
	const struct share_callbacks *callbacks;
	void *data;
	struct peer *peer; /* with the device */
	struct reach *reaches;
	size_t reach_count;
	bool walled; /* reaches are all that there is */
	struct further *furthers;
	uint16_t last_number;
	struct task *tasks; /* the first one is under way */
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
	text_clear(&task->packet);
	cleanup_close(&task->fd);
	further_free(task->further);
	free(task->name);
	free(task);
}

static void cleanup_task(struct task **task)
{
	task_free(*task);
}
#define auto_task CLEANUP(cleanup_task)

static int task_new(struct task **ret, enum task_kind kind, enum message_kind message, const void *body, int fd,
		    const char *name, struct annex_error **err)
{
	auto_task struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return fail_memory(err);
	task->kind = kind;
	task->fd = -EBADF;
	if (text_copy(&task->name, name) < 0)
		return fail_memory(err);
	if (control_encode(&task->packet, message, body, err) < 0)
		return -1;
	if (fd >= 0) {
		task->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (task->fd < 0)
			return fail_os(err, errno, "cannot hand over what is shared");
	}
	*ret = TAKE(task);
	return 0;
}

static void enqueue(struct share_process *process, struct task *task)
{
	*process->last = task;
	process->last = &task->next;
	process->waiting++;
}

static struct task *dequeue(struct share_process *process)
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

/* --- tasks, step by step --- */

static struct further **find_further(struct share_process *process, const char *name)
{
	struct further **at = &process->furthers;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

/* Where answers come to. */
static const struct peer_callbacks further_callbacks;

static int ask(struct peer *peer, enum message_kind kind, const void *body, const int *fds, unsigned count,
	       struct annex_error **err)
{
	auto_text struct text packet = {0};

	if (control_encode(&packet, kind, body, err) < 0)
		return -1;
	return peer_ask(peer, &packet, fds, count, err);
}

static int ask_as_it_stands(struct peer *peer, const struct task *task, struct annex_error **err)
{
	return peer_ask(peer, &task->packet, &task->fd, task->fd >= 0, err);
}

static int start_further(struct share_process *process, struct task *task, struct annex_error **err)
{
	struct message_share_setup setup = process->setup;

	if (process->last_number == UINT16_MAX)
		return fail(err, ANNEX_ERROR_BUSY, "too many shares have come and gone since the machine started");
	setup.number = ++process->last_number;
	if (further_new(&task->further, process->loop, process->program, process->last_number, task->name, WORKERS,
			&further_callbacks, process, err) < 0)
		return -1;
	return ask(task->further->peer, MESSAGE_SHARE_SETUP, &setup, NULL, 0, err);
}

/* 1: it is asked; 0: the task is done; -1. */
static int step_add_further(struct share_process *process, struct task *task, struct annex_error **err)
{
	struct further *further = task->further;
	struct message_share_join join = {.name = task->name};
	int result;

	task->step++;
	if (!further)
		return start_further(process, task, err) < 0 ? -1 : 1;
	switch (task->step) {
	case 2:
		return ask_as_it_stands(further->peer, task, err) < 0 ? -1 : 1;
	case 3:
		result = ask(further->peer, MESSAGE_SHARE_SERVE, NULL, further->own_ends, further->own_count, err);
		rights_close(further->own_ends, &further->own_count);
		return result < 0 ? -1 : 1;
	case 4:
		join.number = further->number;
		result =
			ask(process->peer, MESSAGE_SHARE_JOIN, &join, further->device_ends, further->device_count, err);
		rights_close(further->device_ends, &further->device_count);
		return result < 0 ? -1 : 1;
	default:
		further->next = process->furthers;
		process->furthers = TAKE(task->further);
		return 0;
	}
}

static int step_remove(struct share_process *process, struct task *task, struct annex_error **err)
{
	struct further **at = find_further(process, task->name), *further = *at;
	const struct message_share_leave leave = {.number = further ? further->number : 0};
	int result;

	if (task->step++ == 0) {
		result = further ? ask(process->peer, MESSAGE_SHARE_LEAVE, &leave, NULL, 0, err)
				 : ask_as_it_stands(process->peer, task, err);
		return result < 0 ? -1 : 1;
	}
	if (further) {
		*at = further->next;
		further_free(further);
	}
	return 0;
}

static int step(struct share_process *process, struct task *task, struct annex_error **err)
{
	if (task->kind == TASK_ADD_FURTHER)
		return step_add_further(process, task, err);
	if (task->kind == TASK_REMOVE)
		return step_remove(process, task, err);
	if (task->step++ > 0)
		return 0;
	return ask_as_it_stands(process->peer, task, err) < 0 ? -1 : 1;
}

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

/* The first task is over. False as of tell(). */
static bool finish(struct share_process *process, const struct annex_error *refusal)
{
	auto_task struct task *task = dequeue(process);

	if (task->kind != TASK_FIRST)
		return tell(process, refusal);
	if (refusal)
		peer_end(process->peer, refusal);
	return true;
}

/* Goes on with the first task, as somebody has answered; and with the next ones, until one waits for an answer. */
static void go_on(struct share_process *process, const struct annex_error *refusal)
{
	bool goes_on = true;

	if (refusal)
		goes_on = finish(process, refusal);
	while (goes_on && process->tasks && !process->ended) {
		auto_error struct annex_error *err = NULL;
		int result = step(process, process->tasks, &err);

		if (result > 0)
			return;
		goes_on = finish(process, err);
	}
}

static void on_answer(const struct annex_error *refusal, void *data)
{
	go_on(data, refusal);
}

static void on_further_answer(const struct annex_error *refusal, void *data)
{
	const struct further *further = data;

	go_on(further->owner, refusal);
}

/* What was asked of it has its answer by that; else its share stays there, and nothing of it can be reached. */
static void on_further_ended(const struct annex_error *why, void *data)
{
	auto_error struct annex_error *err = NULL;
	struct further *further = data;
	struct share_process *process = further->owner;

	if (!why)
		(void)fail(&err, ANNEX_ERROR_SYSTEM, "annex-share ended");
	why = why ? why : err;
	log_info("share '%s' is no longer served: %s", further->name, annex_error_message(why));
	if (process->tasks && process->tasks->further == further && process->tasks->step <= 3)
		go_on(process, why);
}

static const struct peer_callbacks further_callbacks = {.on_answer = on_further_answer, .on_ended = on_further_ended};

static void free_furthers(struct share_process *process)
{
	while (process->furthers) {
		struct further *further = process->furthers;

		process->furthers = further->next;
		further_free(further);
	}
}

static void on_ended(const struct annex_error *why, void *data)
{
	struct share_process *process = data;
	auto_error struct annex_error *err = NULL;

	process->ended = true;
	free_furthers(process);
	(void)fail(&err, ANNEX_ERROR_BUSY, "the machine's files are no longer served");
	while (process->tasks) {
		if (!finish(process, why ? why : err))
			return;
	}
	process->callbacks->on_ended(why, process->data);
}

static const struct peer_callbacks peer_callbacks = {.on_answer = on_answer, .on_ended = on_ended};

/* --- from outside --- */

static int new_add(struct task **ret, enum task_kind kind, const struct share_process_share *share,
		   struct annex_error **err)
{
	const struct message_share_add add = {.name = share->options.name,
					      .read_only = share->options.read_only,
					      .cache = (uint32_t)share->options.cache,
					      .masks = share->options.masks};

	return task_new(ret, kind, MESSAGE_SHARE_ADD, &add, share->fd, share->options.name, err);
}

static int enqueue_first(struct share_process *process, const struct share_process_share *shares, size_t count,
			 struct annex_error **err)
{
	struct task *task;

	if (task_new(&task, TASK_FIRST, MESSAGE_SHARE_SETUP, &process->setup, -EBADF, NULL, err) < 0)
		return -1;
	enqueue(process, task);
	for (size_t i = 0; i < count; i++) {
		struct reach *reach = &process->reaches[process->reach_count];

		if (text_copy(&reach->source, shares[i].source) < 0)
			return fail_memory(err);
		reach->changes = !shares[i].options.read_only;
		process->reach_count++;
		if (new_add(&task, TASK_FIRST, &shares[i], err) < 0)
			return fail_while(err, "cannot share '%s'", shares[i].source);
		enqueue(process, task);
	}
	if (task_new(&task, TASK_FIRST, MESSAGE_SHARE_SERVE, NULL, -EBADF, NULL, err) < 0)
		return -1;
	enqueue(process, task);
	return 0;
}

static int set_up(struct share_process *process, struct loop *loop, const struct share_process_options *options,
		  size_t count, struct annex_error **err)
{
	process->last = &process->tasks;
	process->loop = loop;
	process->setup = (struct message_share_setup){
		.queues = options->queues, .workers = WORKERS, .uid = options->uid, .gid = options->gid};
	process->walled = support_probe().landlock >= SHARE_LANDLOCK_LEAST;
	process->program = strdup(options->program);
	process->reaches = calloc(count + 1, sizeof(*process->reaches));
	return process->program && process->reaches ? 0 : fail_memory(err);
}

int share_process_start(struct share_process **ret, int *ret_device, struct loop *loop,
			const struct share_process_options *options, const struct share_process_share *shares,
			size_t count, const struct share_callbacks *callbacks, void *data, struct annex_error **err)
{
	auto_share_process struct share_process *process = calloc(1, sizeof(*process));
	auto_close int front = -EBADF, back = -EBADF;
	struct spawn_fd device;
	const struct peer_options peer = {
		.program = options->program, .name = "annex-share", .fds = &device, .fd_count = 1};
	int pair[2];

	if (!process)
		return fail_memory(err);
	if (set_up(process, loop, options, count, err) < 0)
		return -1;
	process->callbacks = callbacks;
	process->data = data;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_os(err, errno, "cannot make a socket");
	front = pair[0];
	back = pair[1];
	device = (struct spawn_fd){back, CONTROL_DEVICE_FD};
	if (enqueue_first(process, shares, count, err) < 0 ||
	    peer_start(&process->peer, loop, &peer, &peer_callbacks, process, err) < 0 ||
	    step(process, process->tasks, err) < 0)
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

/* A task that is alone in the queue begins at once, unless an answer is just being told: then behind that. */
static int begin(struct share_process *process, struct task *task, struct annex_error **err)
{
	enqueue(process, task);
	if (process->freed || process->waiting > 1)
		return 0;
	if (step(process, task, err) >= 0)
		return 0;
	task_free(dequeue(process));
	return -1;
}

static bool lies_beneath(const char *source, const char *above)
{
	size_t size = strlen(above);

	if (strcmp(above, "/") == 0)
		return true;
	return strncmp(source, above, size) == 0 && (source[size] == '/' || source[size] == '\0');
}

static bool is_in_reach(const struct share_process *process, const struct share_process_share *share)
{
	for (size_t i = 0; i < process->reach_count; i++) {
		const struct reach *reach = &process->reaches[i];

		if (lies_beneath(share->source, reach->source) && (reach->changes || share->options.read_only))
			return true;
	}
	return !process->walled;
}

int share_process_add(struct share_process *process, const struct share_process_share *share, struct annex_error **err)
{
	struct task *task;

	if (may_ask(process, err) < 0 ||
	    new_add(&task, is_in_reach(process, share) ? TASK_ADD : TASK_ADD_FURTHER, share, err) < 0)
		return -1;
	return begin(process, task, err);
}

int share_process_remove(struct share_process *process, const char *name, struct annex_error **err)
{
	const struct message_share_remove body = {.name = name};
	struct task *task;

	if (may_ask(process, err) < 0 ||
	    task_new(&task, TASK_REMOVE, MESSAGE_SHARE_REMOVE, &body, -EBADF, name, err) < 0)
		return -1;
	return begin(process, task, err);
}

pid_t share_process_pid(const struct share_process *process)
{
	return peer_pid(process->peer);
}

size_t share_process_pids(const struct share_process *process, pid_t *ret, size_t limit)
{
	size_t count = 0;

	if (process->peer && count < limit)
		ret[count++] = peer_pid(process->peer);
	for (const struct further *further = process->furthers; further && count < limit; further = further->next)
		ret[count++] = peer_pid(further->peer);
	return count;
}

void share_process_free(struct share_process *process)
{
	if (!process)
		return;
	if (process->freed)
		*process->freed = true;
	peer_free(process->peer);
	while (process->tasks)
		task_free(dequeue(process));
	free_furthers(process);
	for (size_t i = 0; i < process->reach_count; i++)
		free(process->reaches[i].source);
	free(process->reaches);
	free(process->program);
	free(process);
}
