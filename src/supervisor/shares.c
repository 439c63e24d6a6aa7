/*
 * The plan says what is shared at the start; clients add to it and take from it while the machine runs. What they ask
 * is done one after the other, each in steps that others answer: a mount is added to the server and then bound by the
 * guest, an umount the other way round. plan.shares has what is shared at any time, and STATE tells it.
 *
 * What the record has gained or lost (`kept`) is in effect from then on, so the settings in effect follow. A mount
 * that isn't kept, and whose client gave up before it was done, is undone: nobody was told that it is there.
 */
#include "supervisor/shares.h"

#include "base/log.h"
#include "base/time.h"
#include "machine/home.h"
#include "share/process.h"
#include "supervisor/clients.h"
#include "supervisor/guest.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct task {
	struct task *next;
	const void *client; /* NULL: it is gone, or has got an answer */
	bool is_mount, kept, force, given_up;
	char *what;                  /* a volume, or a target */
	char *target;                /* NULL: not begun */
	bool in_guest;               /* who is to answer: the guest, or the server */
	struct annex_error *failure; /* the guest's; the server is being told to forget it */
};

struct shares {
	struct supervisor *supervisor;
	struct share_process *process;
	struct task *first; /* at work */
	struct task *last;
	unsigned count;
	struct loop_source *deadline; /* of the guest's answer */
};

static void begin(struct shares *shares);

static void free_task(struct task *task)
{
	free(task->what);
	free(task->target);
	annex_error_free(task->failure);
	free(task);
}

/* The settings in effect have what the record has got. */
static int keep(struct machine_settings *settings, const struct task *task, struct annex_error **err)
{
	auto_free char *pair = NULL;
	int length =
		task->is_mount ? asprintf(&pair, "volume=%s", task->what) : asprintf(&pair, "volume=-%s", task->target);

	if (length < 0) {
		pair = NULL;
		return fail_memory(err);
	}
	return settings_apply(settings, pair, err);
}

/* The task at work is done, or has failed. */
static void finish(struct shares *shares, const struct annex_error *err)
{
	struct supervisor *supervisor = shares->supervisor;
	auto_error struct annex_error *ignored = NULL;
	struct task *task = shares->first;

	shares->first = task->next;
	shares->last = shares->first ? shares->last : NULL;
	shares->count--;
	if (!err && task->kept && keep(&supervisor->record->settings, task, &ignored) < 0)
		log_info("%s", annex_error_message(ignored));
	supervisor_on_changed(supervisor);
	if (task->client)
		clients_answer(supervisor->clients, task->client, err);
	free_task(task);
	if (shares->first)
		begin(shares);
}

static void drop(struct shares *shares, const struct task *task)
{
	auto_error struct annex_error *err = NULL;

	if (machine_shares_remove(&shares->supervisor->plan.shares, task->target, &err) < 0)
		log_info("%s", annex_error_message(err));
}

static enum share_cache cache_of(const struct machine_share *share)
{
	if (text_equal(share->cache, "none"))
		return SHARE_CACHE_NONE;
	return text_equal(share->cache, "always") ? SHARE_CACHE_ALWAYS : SHARE_CACHE_AUTO;
}

/* ret->fd is the caller's. */
static int open_share(struct share_process_share *ret, const struct machine_share *share, struct annex_error **err)
{
	int fd = -1;

	if (machine_share_open(&fd, share, err) < 0)
		return -1;
	*ret = (struct share_process_share){
		.fd = fd,
		.source = share->source,
		.options = {.name = share->name,
			    .read_only = share->read_only,
			    .cache = cache_of(share),
			    .masks = (const char *const *)share->masks.items},
	};
	return 0;
}

static int hint_shown(const struct supervisor *supervisor, struct annex_error **err)
{
	return fail_hint(err, "annex mount -n %s shows what is shared", supervisor->record->name);
}

/* Nobody waits longer. What was asked is done all the same, once the guest answers. */
static void on_deadline(struct loop_source *source, void *data)
{
	struct shares *shares = data;
	auto_error struct annex_error *err = NULL;

	(void)source;
	if (!shares->first || !shares->first->in_guest)
		return;
	fail(&err, ANNEX_ERROR_TIMEOUT, "the machine does not answer");
	hint_shown(shares->supervisor, &err);
	for (struct task *task = shares->first; task; task = task->next) {
		if (task->client)
			clients_answer(shares->supervisor->clients, task->client, err);
		task->client = NULL;
	}
}

/* The guest has been asked by the first task. */
static void await(struct shares *shares)
{
	const struct supervisor *supervisor = shares->supervisor;
	uint64_t after_ms = time_scaled_ms(SHARES_ANSWER_MS, supervisor_slowness(supervisor));

	shares->first->in_guest = true;
	if (shares->deadline)
		loop_timer_restart(shares->deadline, after_ms);
	else if (loop_add_timer(&shares->deadline, supervisor->loop, after_ms, on_deadline, shares) < 0)
		shares->deadline = NULL; /* who asks may wait for long then */
}

static bool is_unwanted(const struct task *task)
{
	return task->is_mount && !task->kept && task->given_up;
}

static int begin_mount(struct shares *shares, struct task *task, struct annex_error **err)
{
	struct supervisor *supervisor = shares->supervisor;
	struct machine_plan *plan = &supervisor->plan;
	struct share_process_share opened = {.fd = -1};
	const struct machine_share *share = NULL;
	auto_free char *home = NULL;
	int result;

	if (is_unwanted(task) ||
	    (task->kept && machine_shares_keep(&plan->shares, task->what))) { /* by `annex mount` */
		finish(shares, NULL);
		return 0;
	}
	if (machine_home(&home, err) < 0)
		return -1;
	if (machine_shares_add(&plan->shares, &share, supervisor->paths, &supervisor->record->settings, home,
			       task->what, task->kept, err) < 0)
		return annex_error_kind(*err) == ANNEX_ERROR_EXISTS ? hint_shown(supervisor, err) : -1;
	task->target = strdup(share->target);
	if (!task->target) {
		(void)!machine_shares_remove(&plan->shares, share->target, NULL);
		return fail_memory(err);
	}
	result = open_share(&opened, share, err);
	if (result == 0)
		result = share_process_add(shares->process, &opened, err);
	cleanup_close(&opened.fd);
	if (result < 0)
		drop(shares, task);
	return result;
}

static int begin_umount(struct shares *shares, struct task *task, struct annex_error **err)
{
	struct supervisor *supervisor = shares->supervisor;
	const struct machine_share *share = machine_shares_find(&supervisor->plan.shares, task->what);

	if (!share && task->kept) { /* what the record has lost was taken away before */
		task->target = strdup(task->what);
		if (!task->target)
			return fail_memory(err);
		finish(shares, NULL);
		return 0;
	}
	if (!share || strcmp(share->name, "modules") == 0) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "nothing is shared at %s", task->what);
		return hint_shown(supervisor, err);
	}
	task->target = strdup(share->target);
	if (!task->target)
		return fail_memory(err);
	await(shares);
	guest_unbind(supervisor->guest, task->target, task->force);
	return 0;
}

static void begin(struct shares *shares)
{
	auto_error struct annex_error *err = NULL;
	struct task *task = shares->first;

	if ((task->is_mount ? begin_mount(shares, task, &err) : begin_umount(shares, task, &err)) < 0)
		finish(shares, err);
}

static void add(struct shares *shares, const void *client, bool is_mount, const char *what, bool kept, bool force)
{
	struct supervisor *supervisor = shares->supervisor;
	auto_error struct annex_error *err = NULL;
	struct task *task = NULL;

	if (shares->count >= SHARES_ASKED_MAX)
		fail(&err, ANNEX_ERROR_BUSY, "too many requests at once");
	else
		task = calloc(1, sizeof(*task));
	if (task)
		*task = (struct task){.client = client, .is_mount = is_mount, .kept = kept, .force = force};
	if (task)
		task->what = strdup(what);
	if (!task || !task->what) {
		free(task);
		if (!err)
			fail_memory(&err);
		clients_answer(supervisor->clients, client, err);
		return;
	}
	if (shares->last)
		shares->last->next = task;
	else
		shares->first = task;
	shares->last = task;
	if (shares->count++ == 0)
		begin(shares);
}

void shares_mount(struct shares *shares, const void *client, const struct message_mount *mount)
{
	add(shares, client, true, mount->volume, mount->kept, false);
}

void shares_umount(struct shares *shares, const void *client, const struct message_umount *umount)
{
	add(shares, client, false, umount->target, umount->kept, umount->force);
}

void shares_forget(struct shares *shares, const void *client)
{
	for (struct task *task = shares ? shares->first : NULL; task; task = task->next) {
		if (task->client != client)
			continue;
		task->client = NULL;
		task->given_up = true;
	}
}

/* The server's answer. */
static void on_done(const struct annex_error *err, void *data)
{
	struct shares *shares = data;
	struct task *task = shares->first;
	const struct machine_share *share;
	auto_free char *text = NULL;

	if (!task || task->in_guest)
		return; /* of the start */
	share = machine_shares_find(&shares->supervisor->plan.shares, task->target);
	if (task->is_mount && !task->failure && !err && share) {
		text = machine_share_wire(share);
		await(shares);
		guest_bind(shares->supervisor->guest, text ? text : "");
		return;
	}
	drop(shares, task);
	finish(shares, task->failure ? task->failure : err);
}

bool shares_on_bound(struct shares *shares, const struct message_bound *bound)
{
	struct supervisor *supervisor = shares->supervisor;
	struct task *task = shares->first;
	auto_error struct annex_error *err = NULL;
	const struct machine_share *share;

	if (!task || !task->in_guest)
		return false;
	task->in_guest = false;
	if (bound->kind != 0) {
		guest_failure(&task->failure, bound->kind, bound->os, bound->message, bound->hint);
	} else if (is_unwanted(task)) {
		task->is_mount = false;
		guest_unbind(supervisor->guest, task->target, true);
		await(shares);
		return true;
	}
	if (task->is_mount != (bound->kind != 0)) { /* it is there, as it was asked for or as before */
		finish(shares, task->failure);
		return true;
	}
	share = machine_shares_find(&supervisor->plan.shares, task->target);
	if (!share || share_process_remove(shares->process, share->name, &err) < 0) {
		drop(shares, task);
		finish(shares, task->failure ? task->failure : err);
	}
	return true;
}

static void on_ended(const struct annex_error *err, void *data)
{
	struct shares *shares = data;

	if (err)
		supervisor_on_broken_shares(shares->supervisor, err);
}

static const struct share_callbacks callbacks = {on_done, on_ended};

static int start(struct shares *shares, struct share_process_share *opened, int *ret_device, struct annex_error **err)
{
	const struct machine_plan *plan = &shares->supervisor->plan;
	struct share_process_options options = {
		.program = shares->supervisor->share_program,
		.queues = plan->share_queues,
		.uid = getuid(),
		.gid = getgid(),
	};

	for (size_t i = 0; i < plan->shares.count; i++) {
		if (open_share(&opened[i], &plan->shares.items[i], err) < 0)
			return -1;
	}
	return share_process_start(&shares->process, ret_device, shares->supervisor->loop, &options, opened,
				   plan->shares.count, &callbacks, shares, err);
}

int shares_new(struct shares **ret, struct supervisor *supervisor, int *ret_device, struct annex_error **err)
{
	size_t count = supervisor->plan.shares.count;
	auto_free struct share_process_share *opened = calloc(count + 1, sizeof(*opened));
	struct shares *shares = calloc(1, sizeof(*shares));
	int result;

	if (!opened || !shares) {
		free(shares);
		return fail_memory(err);
	}
	shares->supervisor = supervisor;
	for (size_t i = 0; i < count; i++)
		opened[i].fd = -1;
	result = start(shares, opened, ret_device, err);
	for (size_t i = 0; i < count; i++)
		cleanup_close(&opened[i].fd);
	if (result < 0)
		free(shares);
	else
		*ret = shares;
	return result;
}

void shares_free(struct shares *shares)
{
	struct task *next;

	if (!shares)
		return;
	loop_source_free(shares->deadline);
	share_process_free(shares->process);
	for (struct task *task = shares->first; task; task = next) {
		next = task->next;
		free_task(task);
	}
	free(shares);
}

size_t shares_pids(const struct shares *shares, pid_t *ret, size_t limit)
{
	return shares && shares->process ? share_process_pids(shares->process, ret, limit) : 0;
}
