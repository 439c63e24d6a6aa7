/*
 * Memory that is added to the running kernel must be put to use, and memory that is taken away must be free of what
 * can't be moved: the kernel is told to keep a part of what is added for what it can move (auto-movable), which also
 * sees to it that enough is left for itself.
 *
 * The kernel would look twice a second whether its free memory is in pieces, the only thing that wakes an idle machine
 * so often. It is told to put them together when the disk is trimmed, too, and gives whole pieces back to the host.
 */
#include "guest/adjust.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "guest/disk.h"
#include "guest/process.h"
#include "guest/processor.h"
#include "guest/report.h"
#include "guest/trim.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

enum { NOTICE_MS = 10000, PROC_LIMIT = 65536 };

struct adjusts {
	struct loop *loop;
	struct link *link;
	struct message_adjust waiting[ADJUSTS_MAX]; /* the first one is at work */
	size_t count;
	unsigned factor;
	pid_t pid;
	int answer; /* the child's, or -1 */
	struct loop_source *child;
};

/* What the child writes, in one piece. */
struct answer {
	uint64_t value;
	bool failed;
	struct report report;
};

bool adjusts_is_idle(const char *load)
{
	/* "0.07 0.03 0.01 1/70 233": less than a third of a processor over the last minute. */
	return text_starts(load, "0.") && load[2] >= '0' && load[2] <= '2';
}

uint64_t adjusts_available(const char *meminfo)
{
	static const char name[] = "\nMemAvailable:";
	const char *line = strstr(meminfo, name);
	auto_free char *digits = NULL;
	uint64_t kib = 0;

	if (!line)
		return 0;
	line += strlen(name);
	line += strspn(line, " ");
	digits = strndup(line, strspn(line, "0123456789"));
	return digits && text_to_u64(&kib, digits, 10) == 0 ? kib << 10 : 0;
}

static void tell_kernel(const char *path, const char *word)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && file_write_all(fd, word, strlen(word)) < 0)
		log_info("%s: %s", path, strerror(errno));
}

void adjusts_settle(void)
{
	tell_kernel("/proc/sys/vm/compaction_proactiveness", "0");
}

static int prepare_memory(uint64_t *ret, struct annex_error **err)
{
	auto_free char *info = NULL;
	int result = file_read(&info, NULL, AT_FDCWD, "/proc/meminfo", PROC_LIMIT);

	if (result < 0)
		return fail_os(err, result, "cannot read /proc/meminfo");
	tell_kernel("/sys/module/memory_hotplug/parameters/online_policy", "auto-movable");
	tell_kernel("/sys/devices/system/memory/auto_online_blocks", "online");
	*ret = adjusts_available(info);
	return 0;
}

static int trim(uint64_t *ret, bool forced, struct annex_error **err)
{
	auto_free char *load = NULL;

	if (!forced && file_read(&load, NULL, AT_FDCWD, "/proc/loadavg", PROC_LIMIT) == 0 && !adjusts_is_idle(load))
		return fail(err, ANNEX_ERROR_BUSY, "the machine has other things to do");
	tell_kernel("/proc/sys/vm/compact_memory", "1");
	return trim_disk(ret, err);
}

static int adjust(uint64_t *ret, const struct message_adjust *what, unsigned factor, struct annex_error **err)
{
	uint64_t timeout = time_scaled_ms(NOTICE_MS, factor);

	switch (what->what) {
	case ADJUST_CPUS:
		return processor_use(ret, what->value, timeout, err);
	case ADJUST_DISK:
		return disk_fill(ret, what->value, timeout, err);
	case ADJUST_MEMORY:
		return prepare_memory(ret, err);
	case ADJUST_TRIM:
		return trim(ret, what->value != 0, err);
	default:
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "adjustment %u is not known", what->what);
	}
}

_Noreturn static void child(int fd, const struct message_adjust *what, unsigned factor)
{
	struct annex_error *err = NULL;
	struct answer answer;

	memset(&answer, 0, sizeof(answer));
	process_reset();
	answer.failed = adjust(&answer.value, what, factor, &err) < 0;
	if (answer.failed)
		report_from_error(&answer.report, err);
	_exit(file_write_all(fd, &answer, sizeof(answer)) < 0);
}

static void drop_child(struct adjusts *adjusts)
{
	loop_source_free(TAKE(adjusts->child));
	cleanup_close(&adjusts->answer);
	adjusts->answer = -1;
	if (adjusts->pid > 0)
		kill(adjusts->pid, SIGKILL);
	adjusts->pid = 0;
}

static void begin(struct adjusts *adjusts);

/* The first one is done, or has failed. */
static void finish(struct adjusts *adjusts, uint64_t value, const struct annex_error *err)
{
	struct message_adjusted adjusted = {.value = value};

	drop_child(adjusts);
	if (err) {
		adjusted.kind = annex_error_kind(err);
		adjusted.os = (uint32_t)annex_error_errno(err);
		adjusted.message = annex_error_message(err);
		adjusted.hint = annex_error_hint(err);
	}
	link_send(adjusts->link, MESSAGE_ADJUSTED, 0, &adjusted);
	adjusts->count--;
	memmove(adjusts->waiting, adjusts->waiting + 1, adjusts->count * sizeof(*adjusts->waiting));
	begin(adjusts);
}

static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct adjusts *adjusts = data;
	auto_error struct annex_error *err = NULL;
	struct answer answer = {0};

	(void)source, (void)pid, (void)status;
	adjusts->pid = 0;
	if (file_read_full(adjusts->answer, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
		fail(&err, ANNEX_ERROR_GUEST, "a helper process ended early");
	else if (answer.failed)
		report_to_error(&answer.report, &err);
	finish(adjusts, answer.value, err);
}

static int start_child(struct adjusts *adjusts)
{
	auto_close int writer = -1;
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	adjusts->answer = pipes[0];
	writer = pipes[1];
	adjusts->pid = fork();
	if (adjusts->pid < 0)
		return -errno;
	if (adjusts->pid == 0)
		child(writer, &adjusts->waiting[0], adjusts->factor);
	return loop_add_child(&adjusts->child, adjusts->loop, adjusts->pid, on_child, adjusts);
}

static void begin(struct adjusts *adjusts)
{
	auto_error struct annex_error *err = NULL;
	int result;

	if (adjusts->count == 0)
		return;
	result = start_child(adjusts);
	if (result == 0)
		return;
	fail_os(&err, result, "cannot start a helper process");
	finish(adjusts, 0, err);
}

void adjusts_handle(struct adjusts *adjusts, const struct message_adjust *what, unsigned factor)
{
	auto_error struct annex_error *err = NULL;

	adjusts->factor = factor;
	if (adjusts->count == ADJUSTS_MAX) { /* no host of ours asks for so much: its order is lost, too */
		log_info("too many adjustments at once");
		return;
	}
	adjusts->waiting[adjusts->count++] = *what;
	if (adjusts->count == 1) {
		begin(adjusts);
	} else if (adjusts->waiting[0].what == ADJUST_TRIM) {
		fail(&err, ANNEX_ERROR_BUSY, "the machine has other things to do");
		finish(adjusts, 0, err);
	}
}

bool adjusts_has_child(const struct adjusts *adjusts, pid_t pid)
{
	return adjusts && adjusts->pid == pid;
}

int adjusts_new(struct adjusts **ret, struct loop *loop, struct link *link, struct annex_error **err)
{
	struct adjusts *adjusts = calloc(1, sizeof(*adjusts));

	if (!adjusts)
		return fail_memory(err);
	*adjusts = (struct adjusts){.loop = loop, .link = link, .answer = -1};
	*ret = adjusts;
	return 0;
}

void adjusts_free(struct adjusts *adjusts)
{
	if (!adjusts)
		return;
	drop_child(adjusts);
	free(adjusts);
}
