/*
 * A round: count what the host knows, ask QEMU and the guest, and answer when both have answered or the time is up. Who
 * asks meanwhile shares the answer. Either is asked one thing at a time: who has not answered the last round is not
 * waited for in the next, so that a guest that hangs costs its watchers one wait.
 */
#include "supervisor/usage.h"

#include "base/file.h"
#include "supervisor/clients.h"
#include "supervisor/guest.h"
#include "supervisor/network.h"
#include "supervisor/relay.h"
#include "supervisor/shares.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SERVERS_MAX = 64, STATM_MAX = 256 };

/* Who is asked. */
struct source {
	bool waiting; /* its answer is to come */
	bool late;    /* and is no more waited for */
};

struct usage {
	struct supervisor *supervisor;
	struct loop_source *deadline;
	bool at_work;
	struct message_usage round;
	struct source disks, guest;
};

/* What no clock and no disk can have is a lie or a mistake, and must not overflow what others count in. */
static uint64_t sane(uint64_t value)
{
	return value < INT64_MAX ? value : INT64_MAX;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	return clock_gettime(clock, &now) < 0 ? 0 : (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t process_cpu_ns(pid_t pid)
{
	clockid_t clock;

	return pid > 0 && clock_getcpuclockid(pid, &clock) == 0 ? clock_ns(clock) : 0;
}

/* `shared` counts what it shares with others, too: the guest's memory, of which QEMU and annex-share have mappings. */
static uint64_t process_resident(pid_t pid, bool shared)
{
	auto_free char *text = NULL;
	uint64_t pages[3] = {0};
	char path[48], *at, *word;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (pid <= 0 || file_read(&text, NULL, AT_FDCWD, path, STATM_MAX) < 0)
		return 0;
	at = text;
	for (size_t i = 0; i < COUNT_OF(pages) && (word = strsep(&at, " ")); i++) {
		if (text_to_u64(&pages[i], word, 10) < 0)
			return 0;
	}
	if (!shared)
		pages[1] -= pages[2] < pages[1] ? pages[2] : pages[1];
	return pages[1] * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void count_host(struct message_usage *ret, const struct supervisor *supervisor)
{
	pid_t servers[SERVERS_MAX], vm = supervisor->vm ? qemu_vm_pid(supervisor->vm) : 0;
	size_t count = network_pids(supervisor->network, servers, SERVERS_MAX);

	count += shares_pids(supervisor->shares, servers + count, SERVERS_MAX - count);
	ret->at_ns = clock_ns(CLOCK_MONOTONIC);
	ret->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) + process_cpu_ns(vm);
	ret->resident = process_resident(getpid(), false) + process_resident(vm, true);
	for (size_t i = 0; i < count; i++) {
		ret->cpu_ns += process_cpu_ns(servers[i]);
		ret->resident += process_resident(servers[i], false);
	}
}

static void begin(struct usage *usage)
{
	const struct supervisor *supervisor = usage->supervisor;

	usage->at_work = true;
	usage->round = (struct message_usage){
		.state = supervisor->state,
		.cpus = (uint32_t)supervisor->record->settings.cpus,
		.sessions = (uint32_t)relay_count(supervisor->relay),
		.started = supervisor->run.started,
		.memory = supervisor->record->settings.memory,
	};
	count_host(&usage->round, supervisor);
}

static void finish(struct usage *usage)
{
	usage->at_work = false;
	usage->disks.late = usage->disks.waiting;
	usage->guest.late = usage->guest.waiting;
	loop_timer_restart(usage->deadline, UINT64_MAX);
	clients_tell_usage(usage->supervisor->clients, &usage->round);
}

static void finish_if_complete(struct usage *usage)
{
	if (usage->at_work && (!usage->disks.waiting || usage->disks.late) &&
	    (!usage->guest.waiting || usage->guest.late))
		finish(usage);
}

void usage_disks(struct message_usage *ret, const json_t *blockstats)
{
	uint64_t read = 0, written = 0;
	json_t *disk;
	size_t i;

	json_array_foreach(blockstats, i, disk)
	{
		const json_t *stats = json_object_get(disk, "stats");
		json_int_t in = json_integer_value(json_object_get(stats, "rd_bytes"));
		json_int_t out = json_integer_value(json_object_get(stats, "wr_bytes"));

		read = sane(read + (in > 0 ? (uint64_t)in : 0));
		written = sane(written + (out > 0 ? (uint64_t)out : 0));
	}
	ret->disk_read = read;
	ret->disk_written = written;
	ret->known |= USAGE_DISK;
}

static void on_disks(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	struct usage *usage = data;

	(void)qmp, (void)err;
	usage->disks = (struct source){0};
	if (usage->at_work && json_is_array(result))
		usage_disks(&usage->round, result);
	finish_if_complete(usage);
}

void usage_on_measured(struct usage *usage, const struct message_measured *measured)
{
	struct message_usage *round = &usage->round;

	usage->guest = (struct source){0};
	if (!usage->at_work)
		return;
	round->known |= USAGE_GUEST;
	round->memory_total = sane(measured->memory_total);
	round->memory_available =
		measured->memory_available < round->memory_total ? measured->memory_available : round->memory_total;
	round->disk_size = sane(measured->disk_size);
	round->disk_used = measured->disk_used < round->disk_size ? measured->disk_used : round->disk_size;
	round->received = sane(measured->received);
	round->sent = sane(measured->sent);
	round->tasks = sane(measured->tasks);
	round->load = sane(measured->load);
	finish_if_complete(usage);
}

static void on_deadline(struct loop_source *source, void *data)
{
	struct usage *usage = data;

	(void)source;
	if (usage->at_work)
		finish(usage);
}

void usage_ask(struct usage *usage)
{
	struct supervisor *supervisor = usage->supervisor;

	if (usage->at_work)
		return;
	begin(usage);
	if (!usage->disks.waiting && supervisor->vm)
		usage->disks.waiting = qemu_vm_execute(supervisor->vm, "query-blockstats", NULL, on_disks, usage) == 0;
	if (!usage->guest.waiting && supervisor->state == MACHINE_RUNNING)
		usage->guest.waiting = guest_measure(supervisor->guest);
	loop_timer_restart(usage->deadline, USAGE_WAIT_MS);
	finish_if_complete(usage);
}

static void cleanup_usage(struct usage **usage)
{
	usage_free(*usage);
}

int usage_new(struct usage **ret, struct supervisor *supervisor)
{
	CLEANUP(cleanup_usage) struct usage *usage = calloc(1, sizeof(*usage));
	int result;

	if (!usage)
		return -ENOMEM;
	usage->supervisor = supervisor;
	result = loop_add_timer(&usage->deadline, supervisor->loop, UINT64_MAX, on_deadline, usage);
	if (result < 0)
		return result;
	*ret = TAKE(usage);
	return 0;
}

void usage_free(struct usage *usage)
{
	if (!usage)
		return;
	loop_source_free(usage->deadline);
	free(usage);
}
