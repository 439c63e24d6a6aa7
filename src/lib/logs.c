/*
 * The logs of a machine and of its sessions, which are read as files: nothing has to run. Following waits by inotify on
 * the log's folder.
 */
#include "annex/session.h"

#include "base/file.h"
#include "base/spawn.h"
#include "lib/machine.h"
#include "lib/reader.h"
#include "lib/sessions.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>

enum { LOOK_MS = 1000 }; /* how often what sends no event is looked at: cancelling, a supervisor that was killed */

/* Has what is followed ended? What it wrote is all there then. */
typedef bool over_fn(struct annex_machine *machine, const void *data);

static int wait_more(struct reader *reader, int watch)
{
	struct pollfd places[] = {{watch, POLLIN, 0}, {reader->options.output_fd, 0, 0}};
	char events[4096];

	/* A signal that cancels ends it; one that comes just before is noticed with the next look. */
	if (poll(places, COUNT_OF(places), LOOK_MS) < 0)
		return errno == EINTR ? 0 : -errno;
	if (places[0].revents)
		while (read(watch, events, sizeof(events)) > 0)
			;
	reader->closed = reader->closed || places[1].revents & (POLLERR | POLLHUP | POLLNVAL);
	return 0;
}

static int follow(struct reader *reader, struct annex_machine *machine, over_fn *is_over, const void *data)
{
	auto_close int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	bool over = false;
	int result = 0;

	if (watch < 0 || inotify_add_watch(watch, reader->folder,
					   IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF) < 0)
		return -errno;
	while (result == 0 && !over && !reader->closed && !context_is_cancelled(machine->context)) {
		over = is_over(machine, data);
		result = reader_copy(reader);
		if (result == 0 && !over)
			result = wait_more(reader, watch);
	}
	return result;
}

static int show(struct reader *reader, struct annex_machine *machine, over_fn *is_over, const void *data)
{
	int result = reader_open(reader);

	if (result == 0)
		result = reader_copy(reader);
	if (result == 0 && reader->options.follow)
		result = follow(reader, machine, is_over, data);
	reader_close(reader);
	return reader->closed && result == -EPIPE && reader->options.follow ? 0 : result;
}

static struct annex_log_options choose(const struct annex_log_options *options)
{
	struct annex_log_options chosen = ANNEX_LOG_OPTIONS_INIT;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	return chosen;
}

static bool is_deleted(struct annex_machine *machine, const void *data)
{
	(void)data;
	return !file_exists(AT_FDCWD, machine->paths.folder);
}

API int annex_machine_logs(struct annex_machine *machine, enum annex_log log, const struct annex_log_options *options,
			   struct annex_error **err)
{
	struct reader reader = {.folder = machine->paths.folder,
				.name = log == ANNEX_LOG_BOOT ? MACHINE_BOOT_LOG : MACHINE_CONSOLE_LOG,
				.options = choose(options)};
	int result;

	if (log == ANNEX_LOG_BOOT && (reader.options.timestamps || reader.options.since))
		return fail(err, ANNEX_ERROR_USAGE, "the kernel's log has times of its own only");
	result = show(&reader, machine, is_deleted, NULL);
	return result < 0 ? fail_os(err, result, "cannot show the log of machine '%s'", machine->record.name) : 0;
}

static bool supervisor_runs(struct annex_machine *machine)
{
	auto_machine_run struct machine_run run = {0};

	return machine_run_load(&run, &machine->paths, NULL) == 0 && run.pid > 0 &&
	       spawn_start_time((pid_t)run.pid) == run.pid_start;
}

static bool has_ended(struct annex_machine *machine, const void *data)
{
	const struct session_record *session = data;
	auto_session_list struct session_list list = {0};
	bool runs = supervisor_runs(machine);

	if (!runs || session_list_load(&list, &machine->paths, NULL) < 0)
		return true;
	for (size_t i = 0; i < list.count; i++) {
		if (strcmp(list.items[i].id, session->id) == 0)
			return sessions_is_over(&list.items[i]);
	}
	return true;
}

API int annex_session_logs(struct annex_machine *machine, const char *id, const struct annex_log_options *options,
			   struct annex_error **err)
{
	auto_session_record struct session_record record = {0};
	auto_free char *folder = NULL;
	struct reader reader = {.name = SESSION_OUTPUT, .options = choose(options), .apart = true};
	int result;

	if (sessions_find(&record, machine, id, err) < 0 ||
	    session_folder(&folder, &machine->paths, record.id, err) < 0)
		return -1;
	if (!record.detached)
		return fail(err, ANNEX_ERROR_USAGE, "session %s is not detached: its output is where it was started",
			    record.id);
	reader.folder = folder;
	result = show(&reader, machine, has_ended, &record);
	return result < 0 ? fail_os(err, result, "cannot show the output of session %s", record.id) : 0;
}
