#include "guest/init.h"

#include "guest/cgroup.h"
#include "guest/process.h"
#include "guest/program.h"
#include "guest/report.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct init {
	pid_t pid;
	int pidfd, report;
	struct loop_source *child_source, *report_source;
	const struct init_callbacks *callbacks;
	void *data;
	struct annex_error *err;
};

/* The built-in init is this program under another name. It is executed anew, so that it has none of our memory. */
static int prepare(int *ret_self, const struct init_options *options, struct annex_error **err)
{
	int console;

	*ret_self = -1;
	if (strcmp(options->path, PROGRAM_BUILTIN) == 0) {
		*ret_self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		if (*ret_self < 0)
			return fail_os(err, errno, "cannot open the agent's program");
	}
	if (cgroup_enter_as_init(err) < 0)
		return -1;
	if (sethostname(options->hostname, strlen(options->hostname)) < 0)
		return fail_os(err, errno, "cannot set the host name %s", options->hostname);
	if (mount_machine(&options->mounts, err) < 0)
		return -1;
	if (options->furnish)
		options->furnish(options->furnish_data);
	console = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (console < 0 || process_set_standard(console, console, console) < 0)
		return fail_os(err, errno, "cannot open the machine's console");
	return 0;
}

_Noreturn static void child(const struct init_options *options, int report)
{
	char *const *argv = (char *const *)options->argv, *const *environment = (char *const *)options->environment;
	struct annex_error *err = NULL;
	int self;

	process_reset();
	if (prepare(&self, options, &err) == 0 && options->work) {
		if (options->work(options->work_data, &err) == 0)
			_exit(0);
	} else if (!err) {
		process_limit_files();
		if (self >= 0)
			syscall(SYS_execveat, self, "", argv, environment, AT_EMPTY_PATH);
		else
			execve(options->path, argv, environment);
		fail_os(&err, errno, errno == ENOENT ? "cannot run %s: its interpreter is missing" : "cannot run %s",
			options->path);
		fail_hint(&err, "annex set init=builtin");
	}
	report_send_error(report, err);
	_exit(127);
}

static void read_report(struct init *init)
{
	struct report report;
	int fd = -1;

	switch (report_receive(&report, &fd, init->report)) {
	case REPORT_ERROR:
		report_to_error(&report, &init->err);
		break;
	case REPORT_FD:
		cleanup_close(&fd);
		return;
	case REPORT_NOTHING:
		return;
	case REPORT_END:
		if (!init->err)
			init->callbacks->on_running(init->data);
		break;
	}
	loop_source_free(init->report_source);
	init->report_source = NULL;
}

static void on_report(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	read_report(data);
}

static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct init *init = data;

	(void)source;
	(void)pid;
	init->pid = 0;
	if (init->report_source)
		read_report(init);
	init->callbacks->on_ended(status, init->err, init->data);
}

int init_start(struct init **ret, struct loop *loop, const struct init_options *options,
	       const struct init_callbacks *callbacks, void *data, struct annex_error **err)
{
	struct init *init = calloc(1, sizeof(*init));
	int result, pair[2];

	if (!init)
		return fail_memory(err);
	*init = (struct init){.pidfd = -1, .report = -1, .callbacks = callbacks, .data = data};
	result = report_pair(pair);
	if (result == 0) {
		init->report = pair[0];
		init->pid = process_clone(&init->pidfd, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC);
		if (init->pid == 0)
			child(options, pair[1]);
		cleanup_close(&pair[1]);
		result = init->pid < 0 ? init->pid : 0;
	}
	if (result == 0)
		result = loop_add_fd(&init->report_source, loop, init->report, EPOLLIN, on_report, init);
	if (result == 0)
		result = loop_add_child(&init->child_source, loop, init->pid, on_child, init);
	if (result < 0) {
		init_free(init);
		return fail_os(err, result, "cannot start %s", options->path);
	}
	*ret = init;
	return 0;
}

void init_free(struct init *init)
{
	if (!init)
		return;
	loop_source_free(init->report_source);
	loop_source_free(init->child_source);
	cleanup_close(&init->report);
	cleanup_close(&init->pidfd);
	annex_error_free(init->err);
	free(init);
}

pid_t init_pid(const struct init *init)
{
	return init->pid;
}

int init_pidfd(const struct init *init)
{
	return init->pidfd;
}

void init_kill(const struct init *init, int signal)
{
	if (init->pid > 0)
		kill(init->pid, signal);
}
