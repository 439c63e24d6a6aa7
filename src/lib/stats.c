/*
 * One connection to each supervisor, kept from sample to sample, so that its end tells that the machine has stopped.
 * All are asked first and heard then: they work at the same time. A supervisor that has not answered in time is not
 * waited for again until it does.
 *
 * Only where there is a record of a run is a connection tried: finding out that nobody listens takes the machine's lock
 * for a moment, which would be in the way of whoever starts it just then.
 */
#include "annex/stats.h"

#include "base/file.h"
#include "base/time.h"
#include "lib/machine.h"
#include "lib/wait.h"
#include "machine/lifecycle.h"
#include "rootfs/overlay.h"
#include "wire/message.h"

#include <fcntl.h>
#include <string.h>

enum {
	ANSWER_MS = 4000, /* more than a supervisor gives its guest */
	RETRY_MS = 10000, /* after a supervisor could not be reached */
};

struct watched {
	struct annex_machine *machine;
	struct link *link;  /* NULL: it does not run, or can't be reached */
	bool waiting, late; /* for an answer; it is not waited for */
	bool fresh, known;  /* `usage` is of this sample; there is a sample `before` */
	uint64_t retry_ms;
	int64_t time;
	struct message_usage usage, before;
	char *problem;
};

struct annex_stats {
	struct annex_context *context;
	bool by_name, all;
	struct watched *list;
	size_t count;
	struct annex_machine_stats *rows;
	uint64_t taken_ms;
};

static void lose_link(struct watched *watched)
{
	link_free(TAKE(watched->link));
	watched->waiting = watched->late = watched->fresh = watched->known = false;
}

static void watched_clear(struct watched *watched)
{
	lose_link(watched);
	annex_machine_unref(watched->machine);
	free(watched->problem);
	*watched = (struct watched){0};
}

API void annex_stats_free(struct annex_stats *stats)
{
	if (!stats)
		return;
	for (size_t i = 0; i < stats->count; i++)
		watched_clear(&stats->list[i]);
	free(stats->list);
	free(stats->rows);
	annex_context_unref(stats->context);
	free(stats);
}

static void cleanup_stats(struct annex_stats **stats)
{
	annex_stats_free(*stats);
}

/* Takes the machine. At its place: the list is in the order of names, and has each once. */
static int add(struct annex_stats *stats, struct annex_machine *machine, struct annex_error **err)
{
	struct watched *grown = reallocarray(stats->list, stats->count + 1, sizeof(*grown));
	size_t at = 0;

	if (!grown) {
		annex_machine_unref(machine);
		return fail_memory(err);
	}
	stats->list = grown;
	while (at < stats->count && strcmp(annex_machine_name(grown[at].machine), annex_machine_name(machine)) < 0)
		at++;
	if (at < stats->count && text_equal(annex_machine_name(grown[at].machine), annex_machine_name(machine))) {
		annex_machine_unref(machine);
		return 0;
	}
	memmove(&grown[at + 1], &grown[at], (stats->count - at) * sizeof(*grown));
	grown[at] = (struct watched){.machine = machine};
	stats->count++;
	return 0;
}

API int annex_stats_new(struct annex_stats **ret, struct annex_context *context, const char *const *names, int all,
			struct annex_error **err)
{
	CLEANUP(cleanup_stats) struct annex_stats *stats = calloc(1, sizeof(*stats));

	if (!stats)
		return fail_memory(err);
	*stats = (struct annex_stats){.context = annex_context_ref(context), .by_name = names, .all = all};
	for (; names && *names; names++) {
		struct annex_machine *machine;

		if (machine_open_named(&machine, context, *names, err) < 0 || add(stats, machine, err) < 0)
			return -1;
	}
	*ret = TAKE(stats);
	return 0;
}

static void remove_at(struct annex_stats *stats, size_t at)
{
	watched_clear(&stats->list[at]);
	stats->count--;
	memmove(&stats->list[at], &stats->list[at + 1], (stats->count - at) * sizeof(*stats->list));
}

/* Machines come and go. */
static int renew(struct annex_stats *stats, struct annex_error **err)
{
	auto_text_list struct text_list names = {0};

	for (size_t i = stats->count; i-- > 0;) {
		if (!file_exists(AT_FDCWD, stats->list[i].machine->paths.record))
			remove_at(stats, i);
	}
	if (stats->by_name)
		return 0;
	if (machine_names(&names, stats->context, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		auto_error struct annex_error *ignored = NULL; /* deleted meanwhile, or broken, which others tell */
		struct annex_machine *machine;

		if (machine_open_named(&machine, stats->context, names.items[i], &ignored) == 0 &&
		    add(stats, machine, err) < 0)
			return -1;
	}
	return 0;
}

/* A failure that is the machine's, unless everything is to end. Takes *cause. */
static int note_problem(struct watched *watched, struct annex_error *cause, struct annex_error **err)
{
	auto_error struct annex_error *taken = cause;

	if (annex_error_kind(taken) == ANNEX_ERROR_CANCELLED) {
		if (err)
			*err = TAKE(taken);
		return -1;
	}
	lose_link(watched);
	watched->retry_ms = time_monotonic_ms() + RETRY_MS;
	free(watched->problem);
	watched->problem = strdup(annex_error_message(taken));
	return watched->problem ? 0 : fail_memory(err);
}

static int ask(struct annex_stats *stats, struct watched *watched, struct annex_error **err)
{
	const struct machine_paths *paths = &watched->machine->paths;
	struct annex_error *cause = NULL;

	if (!watched->link && time_monotonic_ms() >= watched->retry_ms) {
		free(TAKE(watched->problem));
		if (file_exists(AT_FDCWD, paths->run) &&
		    link_open(&watched->link, stats->context, paths, false, &cause) < 0)
			return note_problem(watched, cause, err);
	}
	watched->before = watched->fresh ? watched->usage : watched->before;
	watched->known = watched->known || watched->fresh;
	watched->fresh = false;
	if (!watched->link || watched->waiting)
		return 0;
	if (link_ask_usage(watched->link, &cause) < 0)
		return note_problem(watched, cause, err);
	watched->waiting = true;
	watched->time = time_realtime_ns();
	return 0;
}

static int hear(struct watched *watched, uint64_t end_ms, struct annex_error **err)
{
	uint64_t now = time_monotonic_ms();
	int timeout = watched->late || now >= end_ms ? 0 : (int)(end_ms - now), result;
	struct annex_error *cause = NULL;

	if (!watched->waiting)
		return 0;
	result = link_usage(watched->link, &watched->usage, timeout, &cause);
	if (result > 0) {
		watched->waiting = watched->late = false;
		watched->fresh = true;
	} else if (result == 0) {
		lose_link(watched);
	} else if (annex_error_kind(cause) == ANNEX_ERROR_TIMEOUT) {
		annex_error_free(cause);
		watched->late = true;
	} else {
		return note_problem(watched, cause, err);
	}
	return 0;
}

/* Processors in use between two samples of one run. */
static double cpu_between(const struct message_usage *before, const struct message_usage *now)
{
	if (now->started != before->started || now->at_ns <= before->at_ns)
		return -1;
	/* A helper that has ended takes its time along. */
	if (now->cpu_ns < before->cpu_ns)
		return 0;
	return (double)(now->cpu_ns - before->cpu_ns) / (double)(now->at_ns - before->at_ns);
}

static void fill_host(struct annex_machine_stats *row, const struct watched *watched)
{
	const struct message_usage *usage = &watched->usage;

	row->state = (enum annex_machine_state)usage->state;
	row->started = usage->started;
	row->cpus = usage->cpus;
	row->cpu = watched->known ? cpu_between(&watched->before, usage) : -1;
	row->cpu_time = (int64_t)usage->cpu_ns;
	row->memory = (int64_t)usage->memory;
	row->memory_host = (int64_t)usage->resident;
	row->sessions = usage->sessions;
	if (usage->known & USAGE_DISK) {
		row->disk_read = (int64_t)usage->disk_read;
		row->disk_written = (int64_t)usage->disk_written;
	}
}

static void fill_guest(struct annex_machine_stats *row, const struct message_usage *usage)
{
	if (!(usage->known & USAGE_GUEST))
		return;
	row->memory_total = (int64_t)usage->memory_total;
	row->memory_used = (int64_t)(usage->memory_total - usage->memory_available);
	row->disk_size = (int64_t)usage->disk_size;
	row->disk_used = (int64_t)usage->disk_used;
	row->network_received = (int64_t)usage->received;
	row->network_sent = (int64_t)usage->sent;
	row->tasks = (int64_t)usage->tasks;
	row->load = (double)usage->load / 100;
}

static void fill(struct annex_machine_stats *row, const struct watched *watched)
{
	const struct machine_paths *paths = &watched->machine->paths;
	uint64_t size = 0, used = 0;

	*row = (struct annex_machine_stats){.name = annex_machine_name(watched->machine),
					    .problem = watched->problem,
					    .time = watched->link ? watched->time : time_realtime_ns(),
					    .started = -1,
					    .cpus = -1,
					    .cpu = -1,
					    .cpu_time = -1,
					    .memory = -1,
					    .memory_total = -1,
					    .memory_used = -1,
					    .memory_host = -1,
					    .disk_size = -1,
					    .disk_used = -1,
					    .disk_host = -1,
					    .disk_read = -1,
					    .disk_written = -1,
					    .network_received = -1,
					    .network_sent = -1,
					    .tasks = -1,
					    .load = -1,
					    .sessions = -1};
	if (watched->link || watched->problem) /* RUNNING, as long as it does not say anything else */
		row->state = ANNEX_MACHINE_RUNNING;
	else if (file_exists(AT_FDCWD, paths->failure))
		row->state = ANNEX_MACHINE_FAILED;
	if (overlay_info(&size, &used, paths->disk, NULL) == 0)
		row->disk_host = (int64_t)used;
	if (watched->fresh) {
		fill_host(row, watched);
		fill_guest(row, &watched->usage);
	}
}

API int annex_stats_next(const struct annex_machine_stats **ret, size_t *ret_count, struct annex_stats *stats,
			 unsigned interval_ms, struct annex_error **err)
{
	uint64_t now = time_monotonic_ms(), due = stats->taken_ms + interval_ms;
	struct annex_machine_stats *rows;
	size_t count = 0;

	if (stats->taken_ms && due > now && wait_fd(stats->context, -1, 0, (int)(due - now), err) < 0)
		return -1;
	stats->taken_ms = time_monotonic_ms();
	if (renew(stats, err) < 0)
		return -1;
	for (size_t i = 0; i < stats->count; i++) {
		if (ask(stats, &stats->list[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < stats->count; i++) {
		if (hear(&stats->list[i], stats->taken_ms + ANSWER_MS, err) < 0)
			return -1;
	}
	rows = reallocarray(stats->rows, stats->count + 1, sizeof(*rows));
	if (!rows)
		return fail_memory(err);
	stats->rows = rows;
	for (size_t i = 0; i < stats->count; i++) {
		if (stats->by_name || stats->all || stats->list[i].link || stats->list[i].problem)
			fill(&rows[count++], &stats->list[i]);
	}
	*ret = rows;
	*ret_count = count;
	return 0;
}
