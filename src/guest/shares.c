/*
 * One request is worked on at a time, by a child: looking up a share and a path in the machine may block, and the agent
 * never does. The child enters the machine's mounts, does it, and ends; what it reports or how it ends is the answer.
 *
 * While no init runs, requests wait. One that was under way when init ended is done again for the next: the mounts that
 * it changed, or did not, are gone.
 */
#include "guest/shares.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "guest/holder.h"
#include "guest/process.h"
#include "guest/report.h"
#include "guest/share.h"
#include "guest/sharefs.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { REQUEST_TIMEOUT_MS = 10000 };

struct request {
	struct request *next;
	bool removes;
	bool force;
	struct share share;
	struct annex_error *refused; /* the answer, as it can't be done at all */
};

struct shares {
	struct loop *loop;
	struct link *link;
	struct holder *holder;
	struct share_list list; /* in the order to bind */
	bool mounted;
	int init_pidfd;
	unsigned factor;
	struct request *first, **last;
	size_t waiting;
	pid_t pid; /* of the child that works on the first request, or 0 */
	int report;
	struct loop_source *child, *deadline;
};

int shares_new(struct shares **ret, struct loop *loop, struct link *link, struct annex_error **err)
{
	struct shares *shares = calloc(1, sizeof(*shares));

	if (!shares)
		return fail_memory(err);
	*shares = (struct shares){.loop = loop, .link = link, .init_pidfd = -1, .factor = 1, .report = -1};
	shares->last = &shares->first;
	if (holder_new(&shares->holder, loop) < 0) {
		free(shares);
		return fail_memory(err);
	}
	*ret = shares;
	return 0;
}

static void request_free(struct request *request)
{
	share_clear(&request->share);
	annex_error_free(request->refused);
	free(request);
}

/* Forget the child; it is killed, and reaped as a stray. */
static void drop_child(struct shares *shares)
{
	loop_source_free(shares->child);
	loop_source_free(shares->deadline);
	shares->child = shares->deadline = NULL;
	cleanup_close(&shares->report);
	shares->report = -1;
	if (shares->pid > 0)
		kill(shares->pid, SIGKILL);
	shares->pid = 0;
}

void shares_free(struct shares *shares)
{
	if (!shares)
		return;
	drop_child(shares);
	holder_free(shares->holder);
	for (struct request *request = shares->first, *next; request; request = next) {
		next = request->next;
		request_free(request);
	}
	for (size_t i = 0; i < shares->list.count; i++)
		share_clear(&shares->list.items[i]);
	free(shares->list.items);
	free(shares);
}

/* Takes the share. */
static int add(struct shares *shares, struct share *share)
{
	struct share *grown = reallocarray(shares->list.items, shares->list.count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	shares->list.items = grown;
	grown[shares->list.count++] = *share;
	*share = (struct share){0};
	return 0;
}

static struct share *find(const struct shares *shares, const char *target)
{
	for (size_t i = shares->list.count; i > 0; i--) {
		if (strcmp(shares->list.items[i - 1].target, target) == 0)
			return &shares->list.items[i - 1];
	}
	return NULL;
}

static void take_out(struct shares *shares, struct share *share)
{
	share_clear(share);
	shares->list.count--;
	memmove(share, share + 1, (size_t)(shares->list.items + shares->list.count - share) * sizeof(*share));
}

/* The start. */

static bool is_wanted(const struct shares *shares)
{
	for (size_t i = 0; i < shares->list.count; i++) {
		if (!share_is_modules(&shares->list.items[i]))
			return true;
	}
	return false;
}

int shares_set(struct shares *shares, const char *const *texts, struct annex_error **err)
{
	auto_error struct annex_error *cause = NULL;

	for (; texts && *texts; texts++) {
		auto_share struct share share = {0};

		if (shares->list.count >= SHARES_MAX)
			return fail(err, ANNEX_ERROR_GUEST, "more than %u shares", SHARES_MAX);
		if (share_parse(&share, *texts, err) < 0)
			return -1;
		if (add(shares, &share) < 0)
			return fail_memory(err);
	}
	shares->mounted = sharefs_mount(&cause) == 0;
	if (shares->mounted)
		return 0;
	if (is_wanted(shares))
		return fail_relayed(err, annex_error_kind(cause), annex_error_errno(cause), annex_error_message(cause),
				    annex_error_hint(cause));
	log_debug("%s", annex_error_message(cause));
	return 0;
}

static int bind_one(const struct share *share, const char *root, struct annex_error **err)
{
	auto_binding struct binding binding = BINDING_NONE;

	if (sharefs_open(&binding, share, err) == 0 && sharefs_bind(&binding, root, share, err) == 0)
		return 0;
	fail_while(err, "cannot share %s", share->target);
	return share->is_home ? fail_hint(err, "annex set home-mount=none")
			      : fail_hint(err, "annex set volume=-%s", share->target);
}

int shares_bind(const struct shares *shares, const char *root, struct annex_error **err)
{
	if (!shares->mounted)
		return 0;
	sharefs_refresh();
	for (size_t i = 0; i < shares->list.count; i++) {
		auto_error struct annex_error *cause = NULL;
		const struct share *share = &shares->list.items[i];

		if (!share_is_modules(share) && bind_one(share, root, err) < 0)
			return -1;
		if (share_is_modules(share) && bind_one(share, root, &cause) < 0)
			log_info("%s", annex_error_message(cause));
	}
	return 0;
}

/* Requests. */

static int change(const struct request *request, int init_pidfd, struct annex_error **err)
{
	const struct share *share = &request->share;
	auto_binding struct binding binding = BINDING_NONE;

	if (request->removes)
		return sharefs_unbind(init_pidfd, share, request->force, err);
	if (sharefs_open(&binding, share, err) < 0)
		return -1;
	if (setns(init_pidfd, CLONE_NEWNS) < 0)
		return fail_os(err, errno, "cannot enter the machine");
	return sharefs_bind(&binding, "/", share, err);
}

_Noreturn static void child(const struct request *request, int init_pidfd, int report)
{
	struct annex_error *err = NULL;

	process_reset();
	if (change(request, init_pidfd, &err) == 0)
		_exit(0);
	report_send_error(report, err);
	_exit(1);
}

static void answer(struct shares *shares, const struct annex_error *err)
{
	struct request *request = shares->first;
	struct message_bound bound = {0};

	if (err)
		bound = (struct message_bound){.kind = annex_error_kind(err),
					       .os = (uint32_t)annex_error_errno(err),
					       .message = annex_error_message(err),
					       .hint = annex_error_hint(err)};
	link_send(shares->link, MESSAGE_BOUND, 0, &bound);
	shares->first = request->next;
	if (!shares->first)
		shares->last = &shares->first;
	shares->waiting--;
	request_free(request);
}

static int remember(struct shares *shares, struct annex_error **err)
{
	struct request *request = shares->first;
	struct share *known = find(shares, request->share.target);

	if (!request->removes)
		return add(shares, &request->share) < 0 ? fail_memory(err) : 0;
	if (known)
		take_out(shares, known);
	return 0;
}

static void go_on(struct shares *shares);

static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct shares *shares = data;
	auto_error struct annex_error *err = NULL;
	struct report report;
	int fd = -1;

	(void)source;
	(void)pid;
	shares->pid = 0;
	if (report_receive(&report, &fd, shares->report) == REPORT_ERROR)
		report_to_error(&report, &err);
	else if (status != 0)
		fail(&err, ANNEX_ERROR_GUEST, "a helper process ended early");
	cleanup_close(&fd);
	drop_child(shares);
	if (err || remember(shares, &err) < 0)
		answer(shares, err);
	else
		answer(shares, NULL);
	go_on(shares);
}

static void on_deadline(struct loop_source *source, void *data)
{
	struct shares *shares = data;
	auto_error struct annex_error *err = NULL;

	(void)source;
	fail(&err, ANNEX_ERROR_TIMEOUT, "%s could not be %s in time", shares->first->share.target,
	     shares->first->removes ? "unmounted" : "mounted");
	drop_child(shares);
	answer(shares, err);
	go_on(shares);
}

static int start_child(struct shares *shares)
{
	int pair[2], result = report_pair(pair);

	if (result < 0)
		return result;
	shares->report = pair[0];
	shares->pid = fork();
	if (shares->pid == 0)
		child(shares->first, shares->init_pidfd, pair[1]);
	result = shares->pid < 0 ? -errno : 0;
	cleanup_close(&pair[1]);
	if (result == 0)
		result = loop_add_child(&shares->child, shares->loop, shares->pid, on_child, shares);
	if (result == 0)
		result = loop_add_timer(&shares->deadline, shares->loop,
					time_scaled_ms(REQUEST_TIMEOUT_MS, shares->factor), on_deadline, shares);
	return result;
}

/* Can it be tried at all, now that all before it is done? */
static int check(const struct shares *shares, const struct request *request, struct annex_error **err)
{
	const char *target = request->share.target;
	const struct annex_error *refused = request->refused;

	if (refused)
		return fail_relayed(err, annex_error_kind(refused), 0, annex_error_message(refused), NULL);
	if (!shares->mounted)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "the machine was started without virtio-fs");
	if (request->removes)
		return find(shares, target) ? 0 : fail(err, ANNEX_ERROR_NOT_FOUND, "nothing is shared at %s", target);
	if (find(shares, target))
		return fail(err, ANNEX_ERROR_EXISTS, "something is shared at %s already", target);
	if (shares->list.count >= SHARES_MAX)
		return fail(err, ANNEX_ERROR_BUSY, "more than %u shares", SHARES_MAX);
	return 0;
}

static void go_on(struct shares *shares)
{
	while (shares->first && shares->init_pidfd >= 0 && shares->pid == 0) {
		auto_error struct annex_error *err = NULL;
		int result;

		if (check(shares, shares->first, &err) < 0) {
			answer(shares, err);
			continue;
		}
		result = start_child(shares);
		if (result == 0)
			return;
		drop_child(shares);
		fail_os(&err, result, "cannot start a process");
		answer(shares, err);
	}
}

void shares_set_machine(struct shares *shares, int init_pidfd, unsigned factor)
{
	shares->init_pidfd = init_pidfd;
	shares->factor = factor;
	if (init_pidfd < 0) {
		drop_child(shares);
		holder_rest(shares->holder);
	}
	go_on(shares);
}

/* Takes the share and the refusal. */
static void queue(struct shares *shares, struct request *request)
{
	struct request *made = shares->waiting < SHARES_QUEUE_MAX ? malloc(sizeof(*made)) : NULL;

	if (!made) { /* no order of answers can be kept: the host asks for more than it was told it may */
		log_info("too many requests for shares");
		share_clear(&request->share);
		annex_error_free(request->refused);
		return;
	}
	*made = *request;
	*shares->last = made;
	shares->last = &made->next;
	shares->waiting++;
	go_on(shares);
}

void shares_handle_bind(struct shares *shares, const struct message_bind *message)
{
	struct request request = {0};

	if (share_parse(&request.share, message->share, &request.refused) < 0)
		request.share = (struct share){0};
	queue(shares, &request);
}

void shares_handle_unbind(struct shares *shares, const struct message_unbind *message)
{
	struct request request = {.removes = true, .force = message->force != 0};

	request.share.target = strdup(message->target);
	if (!request.share.target)
		fail_memory(&request.refused);
	queue(shares, &request);
}

bool shares_has_child(const struct shares *shares, pid_t pid)
{
	return (pid > 0 && shares->pid == pid) || holder_has_child(shares->holder, pid);
}

void shares_watch(struct shares *shares, pid_t pid)
{
	if (is_wanted(shares) && shares->mounted)
		holder_watch(shares->holder, &shares->list, pid, shares->init_pidfd);
}

void shares_hold(struct shares *shares)
{
	holder_init_stops(shares->holder);
}
