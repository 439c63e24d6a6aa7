/*
 * While an init stops, its mount table is watched. OpenRC, and scripts with `umount -a`, unmount what they find before
 * they end the processes that may still have something to save, which would then lie on the disk, below the share. A
 * child binds such shares again. One that lies in another is unmounted first; it waits for that one, which could not be
 * unmounted with it in place. An init that does not cease unmounting gets its way after HOLDS_MAX times.
 *
 * An init that is stopped from inside tells nobody: whenever a share has gone, the child looks whether it stops. What a
 * user unmounts in a machine that is up stays so.
 */
#include "guest/holder.h"

#include "base/file.h"
#include "base/log.h"
#include "guest/phase.h"
#include "guest/process.h"
#include "guest/sharefs.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { HOLDS_MAX = 16, MOUNTS_SIZE_MAX = 1 << 24 };

/* How the child ends. */
enum { HELD_NOTHING, HELD_SOME, HELD_FAILED };

struct holder {
	struct loop *loop;
	const struct share_list *list;
	int init_pidfd;
	pid_t init;
	bool stops;
	int mounts; /* init's mount table, or -1 */
	struct loop_source *watch, *source;
	pid_t pid;    /* of the child, or 0 */
	bool changed; /* since that child was started */
	unsigned holds;
};

int holder_new(struct holder **ret, struct loop *loop)
{
	struct holder *holder = calloc(1, sizeof(*holder));

	if (!holder)
		return -ENOMEM;
	*holder = (struct holder){.loop = loop, .init_pidfd = -1, .mounts = -1};
	*ret = holder;
	return 0;
}

void holder_free(struct holder *holder)
{
	if (!holder)
		return;
	holder_rest(holder);
	free(holder);
}

void holder_rest(struct holder *holder)
{
	loop_source_free(holder->watch);
	loop_source_free(holder->source);
	holder->watch = holder->source = NULL;
	cleanup_close(&holder->mounts);
	holder->mounts = -1;
	if (holder->pid > 0)
		kill(holder->pid, SIGKILL);
	holder->pid = 0;
}

/* Does it lie in another one that is still there? */
static bool is_inside(const struct share_list *list, const bool *gone, const struct share *share)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct share *other = &list->items[i];

		if (other != share && !gone[i] && path_below(other->target, share->target))
			return true;
	}
	return false;
}

/* Read from the table: who looks at its place keeps in use what init is about to unmount. */
static int find_gone(const struct holder *holder, bool *gone, struct annex_error **err)
{
	const struct share_list *list = holder->list;
	auto_free char *table = NULL;
	char path[64];
	int result;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)holder->init);
	result = file_read(&table, NULL, AT_FDCWD, path, MOUNTS_SIZE_MAX);
	if (result < 0)
		return fail_os(err, result, "cannot read the machine's mounts");
	result = HELD_NOTHING;
	for (size_t i = 0; i < list->count; i++) {
		gone[i] = !share_is_modules(&list->items[i]) && !sharefs_is_listed(table, &list->items[i]);
		if (gone[i])
			result = HELD_SOME;
	}
	for (size_t i = 0; i < list->count; i++)
		gone[i] = gone[i] && !is_inside(list, gone, &list->items[i]);
	return result;
}

/* In the machine's mounts. */
static bool stops(const struct holder *holder)
{
	auto_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct phase phase = {0};

	if (!holder->stops && root >= 0)
		phase_look(&phase, root);
	return holder->stops || phase.kind == PHASE_STOPPING;
}

/* All are opened before the process enters the machine's mounts, where the agent's are not. */
static int hold(const struct holder *holder, struct annex_error **err)
{
	const struct share_list *list = holder->list;
	auto_free struct binding *bindings = calloc(list->count + 1, sizeof(*bindings));
	auto_free bool *gone = calloc(list->count + 1, sizeof(*gone));
	int result;

	if (!bindings || !gone)
		return fail_memory(err);
	result = find_gone(holder, gone, err);
	if (result != HELD_SOME)
		return result;
	for (size_t i = 0; i < list->count; i++) {
		if (gone[i] && sharefs_open(&bindings[i], &list->items[i], err) < 0)
			return -1;
	}
	if (setns(holder->init_pidfd, CLONE_NEWNS) < 0)
		return fail_os(err, errno, "cannot enter the machine");
	if (!stops(holder))
		return HELD_NOTHING;
	for (size_t i = 0; i < list->count; i++) {
		if (gone[i] && sharefs_bind(&bindings[i], "/", &list->items[i], err) < 0)
			return -1;
	}
	return HELD_SOME;
}

/* The process ends with it: nothing is cleaned up. */
_Noreturn static void child(const struct holder *holder)
{
	struct annex_error *err = NULL;
	int result;

	process_reset();
	result = hold(holder, &err);
	if (result < 0)
		log_info("%s", annex_error_message(err));
	_exit(result < 0 ? HELD_FAILED : result);
}

static void hold_again(struct holder *holder);

static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct holder *holder = data;

	(void)source;
	(void)pid;
	holder->pid = 0;
	loop_source_free(holder->source);
	holder->source = NULL;
	holder->holds += status != HELD_NOTHING;
	if (holder->holds >= HOLDS_MAX)
		holder_rest(holder);
	else if (holder->changed)
		hold_again(holder);
}

static void hold_again(struct holder *holder)
{
	holder->changed = holder->pid > 0;
	if (holder->changed)
		return;
	holder->pid = fork();
	if (holder->pid == 0)
		child(holder);
	if (holder->pid < 0 || loop_add_child(&holder->source, holder->loop, holder->pid, on_child, holder) < 0)
		holder_rest(holder);
}

static void on_mounts(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	hold_again(data);
}

void holder_watch(struct holder *holder, const struct share_list *list, pid_t pid, int init_pidfd)
{
	char path[64];
	int result;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)pid);
	*holder = (struct holder){.loop = holder->loop, .list = list, .init_pidfd = init_pidfd, .init = pid};
	holder->mounts = open(path, O_RDONLY | O_CLOEXEC);
	result = holder->mounts < 0
			 ? -errno
			 : loop_add_fd(&holder->watch, holder->loop, holder->mounts, EPOLLPRI, on_mounts, holder);
	if (result < 0)
		log_info("init may unmount shares early: %s", strerror(-result));
}

void holder_init_stops(struct holder *holder)
{
	holder->stops = true;
	holder->holds = 0;
}

bool holder_has_child(const struct holder *holder, pid_t pid)
{
	return pid > 0 && holder->pid == pid;
}
