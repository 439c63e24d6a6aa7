/*
 * One request is worked on at a time, by a child: looking up a share and a path in the machine may block, and the agent
 * never does. The child enters the machine's mounts, does it, and ends; what it reports or how it ends is the answer.
 *
 * While no init runs, requests wait. One that was under way when init ended is done again for the next: the mounts that
 * it changed, or did not, are gone.
 *
 * While init stops, its mount table is watched. OpenRC, and scripts with `umount -a`, unmount what they find before
 * they end the processes that may still have something to save, which would then lie on the disk, below the share. A
 * further child binds such shares again. One that lies in another is unmounted first; it waits for that one, which
 * could not be unmounted with it in place. An init that does not cease unmounting gets its way after HOLDS_MAX times.
 */
#include "guest/shares.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "guest/process.h"
#include "guest/report.h"
#include "guest/share.h"
#include "guest/sharefs.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { REQUEST_TIMEOUT_MS = 10000, HOLDS_MAX = 16, MOUNTS_SIZE_MAX = 1 << 24 };

/* How the child that holds shares ends. */
enum { HELD_NOTHING, HELD_SOME, HELD_FAILED };

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
	struct share *items; /* in the order to bind */
	size_t count;
	bool mounted;
	int init_pidfd;
	unsigned factor;
	struct request *first, **last;
	size_t waiting;
	pid_t pid; /* of the child that works on the first request, or 0 */
	int report;
	struct loop_source *child, *deadline;

	int mounts; /* init's mount table while it stops, or -1 */
	struct loop_source *watch, *holder;
	pid_t holder_pid, held_pid; /* the child that holds, and whose mounts it holds */
	bool changed;               /* since that child was started */
	unsigned holds;
};

int shares_new(struct shares **ret, struct loop *loop, struct link *link, struct annex_error **err)
{
	struct shares *shares = calloc(1, sizeof(*shares));

	if (!shares)
		return fail_memory(err);
	*shares =
		(struct shares){.loop = loop, .link = link, .init_pidfd = -1, .factor = 1, .report = -1, .mounts = -1};
	shares->last = &shares->first;
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

static void hold_no_longer(struct shares *shares)
{
	loop_source_free(shares->watch);
	loop_source_free(shares->holder);
	shares->watch = shares->holder = NULL;
	cleanup_close(&shares->mounts);
	shares->mounts = -1;
	if (shares->holder_pid > 0)
		kill(shares->holder_pid, SIGKILL);
	shares->holder_pid = 0;
}

void shares_free(struct shares *shares)
{
	if (!shares)
		return;
	drop_child(shares);
	hold_no_longer(shares);
	for (struct request *request = shares->first, *next; request; request = next) {
		next = request->next;
		request_free(request);
	}
	for (size_t i = 0; i < shares->count; i++)
		share_clear(&shares->items[i]);
	free(shares->items);
	free(shares);
}

/* Takes the share. */
static int add(struct shares *shares, struct share *share)
{
	struct share *grown = reallocarray(shares->items, shares->count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	shares->items = grown;
	grown[shares->count++] = *share;
	*share = (struct share){0};
	return 0;
}

static struct share *find(const struct shares *shares, const char *target)
{
	for (size_t i = shares->count; i > 0; i--) {
		if (strcmp(shares->items[i - 1].target, target) == 0)
			return &shares->items[i - 1];
	}
	return NULL;
}

static void take_out(struct shares *shares, struct share *share)
{
	share_clear(share);
	shares->count--;
	memmove(share, share + 1, (size_t)(shares->items + shares->count - share) * sizeof(*share));
}

/* The start. */

/* Those of the running kernel. */
static bool is_modules(const struct share *share)
{
	struct utsname system;
	char path[sizeof("/lib/modules/") + sizeof(system.release)];

	if (uname(&system) < 0)
		return false;
	snprintf(path, sizeof(path), "/lib/modules/%s", system.release);
	return strcmp(share->target, path) == 0;
}

static bool is_wanted(const struct shares *shares)
{
	for (size_t i = 0; i < shares->count; i++) {
		if (!is_modules(&shares->items[i]))
			return true;
	}
	return false;
}

int shares_set(struct shares *shares, const char *const *texts, struct annex_error **err)
{
	auto_error struct annex_error *cause = NULL;

	for (; texts && *texts; texts++) {
		auto_share struct share share = {0};

		if (shares->count >= SHARES_MAX)
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
	for (size_t i = 0; i < shares->count; i++) {
		auto_error struct annex_error *cause = NULL;
		const struct share *share = &shares->items[i];

		if (!is_modules(share) && bind_one(share, root, err) < 0)
			return -1;
		if (is_modules(share) && bind_one(share, root, &cause) < 0)
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
	if (shares->count >= SHARES_MAX)
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
		hold_no_longer(shares);
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
	return pid > 0 && (shares->pid == pid || shares->holder_pid == pid);
}

/* The end. */

/* Does it lie in another one that is still there? */
static bool is_inside(const struct shares *shares, const bool *gone, const struct share *share)
{
	for (size_t i = 0; i < shares->count; i++) {
		const struct share *other = &shares->items[i];

		if (other != share && !gone[i] && path_below(other->target, share->target))
			return true;
	}
	return false;
}

/* All are opened before the process enters the machine's mounts, where the agent's are not. Whether one is gone is read
 * from the table: who looks at its place keeps in use what init is about to unmount. */
static int hold(const struct shares *shares, struct annex_error **err)
{
	auto_free struct binding *bindings = calloc(shares->count + 1, sizeof(*bindings));
	auto_free bool *gone = calloc(shares->count + 1, sizeof(*gone));
	auto_free char *table = NULL;
	char path[64];
	int result;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)shares->held_pid);
	result = file_read(&table, NULL, AT_FDCWD, path, MOUNTS_SIZE_MAX);
	if (!bindings || !gone)
		return fail_memory(err);
	if (result < 0)
		return fail_os(err, result, "cannot read the machine's mounts");
	result = HELD_NOTHING;
	for (size_t i = 0; i < shares->count; i++)
		gone[i] = !is_modules(&shares->items[i]) && !sharefs_is_listed(table, &shares->items[i]);
	for (size_t i = 0; i < shares->count; i++) {
		gone[i] = gone[i] && !is_inside(shares, gone, &shares->items[i]);
		if (gone[i] && sharefs_open(&bindings[i], &shares->items[i], err) < 0)
			return -1;
	}
	if (setns(shares->init_pidfd, CLONE_NEWNS) < 0)
		return fail_os(err, errno, "cannot enter the machine");
	for (size_t i = 0; i < shares->count; i++) {
		if (gone[i] && sharefs_bind(&bindings[i], "/", &shares->items[i], err) < 0)
			return -1;
		if (gone[i])
			result = HELD_SOME;
	}
	return result;
}

/* The process ends with it: nothing is cleaned up. */
_Noreturn static void holder(const struct shares *shares)
{
	struct annex_error *err = NULL;
	int result;

	process_reset();
	result = hold(shares, &err);
	if (result < 0)
		log_info("%s", annex_error_message(err));
	_exit(result < 0 ? HELD_FAILED : result);
}

static void hold_again(struct shares *shares);

static void on_holder(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct shares *shares = data;

	(void)source;
	(void)pid;
	shares->holder_pid = 0;
	loop_source_free(shares->holder);
	shares->holder = NULL;
	shares->holds += status != HELD_NOTHING;
	if (shares->holds >= HOLDS_MAX)
		hold_no_longer(shares);
	else if (shares->changed)
		hold_again(shares);
}

static void hold_again(struct shares *shares)
{
	shares->changed = shares->holder_pid > 0;
	if (shares->changed)
		return;
	shares->holder_pid = fork();
	if (shares->holder_pid == 0)
		holder(shares);
	if (shares->holder_pid < 0 ||
	    loop_add_child(&shares->holder, shares->loop, shares->holder_pid, on_holder, shares) < 0)
		hold_no_longer(shares);
}

static void on_mounts(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	hold_again(data);
}

void shares_hold(struct shares *shares, pid_t pid)
{
	char path[64];
	int result;

	if (!is_wanted(shares) || !shares->mounted || shares->mounts >= 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	shares->held_pid = pid;
	shares->holds = 0;
	shares->mounts = open(path, O_RDONLY | O_CLOEXEC);
	result = shares->mounts < 0
			 ? -errno
			 : loop_add_fd(&shares->watch, shares->loop, shares->mounts, EPOLLPRI, on_mounts, shares);
	if (result < 0)
		log_info("init may unmount shares early: %s", strerror(-result));
}
