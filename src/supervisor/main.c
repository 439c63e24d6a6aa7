/*
 * annex-supervisor --data DIR --config DIR --runtime DIR [--foreground] [--restart ATTEMPT --lock FD] NAME
 *
 * Started by libannex with its first client's connection as descriptor 3, in a session of its own; or by hand with
 * --foreground. Before the machine's lock is held nothing is touched: of several supervisors that are started at once
 * all but one end here, with FAILURE (BUSY) to their client.
 *
 * When a machine is to be started again, this process executes itself with --restart and its lock: nothing of the run
 * that has ended is left but that, and service managers still know it.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/text.h"
#include "machine/name.h"
#include "network/process.h"
#include "supervisor/logfile.h"
#include "supervisor/notify.h"
#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { FIRST_CLIENT_FD = 3 };

struct options {
	const char *program, *data, *config, *runtime, *name;
	bool foreground;
	uint32_t attempt; /* 0: no restart */
	int lock;         /* of a restart; else -1 */
};

static bool parse(struct options *ret, int argc, char **argv)
{
	static const struct option known[] = {
		{"data", required_argument, NULL, 'd'},
		{"config", required_argument, NULL, 'c'},
		{"runtime", required_argument, NULL, 'r'},
		{"foreground", no_argument, NULL, 'f'},
		{"restart", required_argument, NULL, 'a'},
		{"lock", required_argument, NULL, 'l'},
		{NULL, 0, NULL, 0},
	};
	uint32_t lock = 0;
	int c;

	ret->program = argv[0];
	ret->lock = -1;
	while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		switch (c) {
		case 'd':
			ret->data = optarg;
			break;
		case 'c':
			ret->config = optarg;
			break;
		case 'r':
			ret->runtime = optarg;
			break;
		case 'f':
			ret->foreground = true;
			break;
		case 'a':
			if (text_to_u32(&ret->attempt, optarg, 10) < 0)
				return false;
			break;
		case 'l':
			if (text_to_u32(&lock, optarg, 10) < 0 || lock > INT_MAX)
				return false;
			ret->lock = (int)lock;
			break;
		default:
			return false;
		}
	}
	ret->name = optind + 1 == argc ? argv[optind] : NULL;
	if (ret->name && ret->data && *ret->data == '/' && ret->config && *ret->config == '/' && ret->runtime &&
	    *ret->runtime == '/')
		return true;
	fprintf(stderr, "usage: annex-supervisor --data DIR --config DIR --runtime DIR [--foreground] NAME\n");
	return false;
}

/* The other programs lie beside us, or where ANNEX_LIBEXECDIR says. */
static int find_program(char **ret, const char *name, struct annex_error **err)
{
	const char *set = getenv("ANNEX_LIBEXECDIR");
	auto_free char *self = set && *set ? NULL : realpath("/proc/self/exe", NULL);

	if (self)
		*strrchr(self, '/') = '\0';
	*ret = path_join(set && *set ? set : self ? self : ANNEX_LIBEXECDIR, name);
	return *ret ? 0 : fail_memory(err);
}

static int take_lock(int *ret, const struct machine_paths *paths, struct annex_error **err)
{
	int lock = *ret >= 0 ? *ret : file_lock(AT_FDCWD, paths->lock, LOCK_EX | LOCK_NB);

	if (lock == -EWOULDBLOCK)
		return fail(err, ANNEX_ERROR_BUSY, "machine '%s' runs already", paths->name);
	if (lock < 0)
		return fail_os(err, lock, "cannot lock machine '%s'", paths->name);
	fcntl(lock, F_SETFD, FD_CLOEXEC);
	*ret = lock;
	return 0;
}

/* A killed supervisor's QEMU dies with it, but not at once; and after a reboot the ids mean other processes. */
static void clean_up(const struct machine_paths *paths)
{
	auto_error struct annex_error *err = NULL;
	auto_machine_run struct machine_run run = {0};

	if (machine_run_load(&run, paths, &err) < 0)
		return;
	if (run.vm_pid > 1 && spawn_kill_exact((pid_t)run.vm_pid, run.vm_start) == 0)
		log_info("ended what a killed supervisor had left: process %d", (int)run.vm_pid);
	unlink(paths->run);
}

static void detach(const struct machine_paths *paths)
{
	struct stat st;
	auto_free char *old = NULL;
	auto_close int log = -1;

	if (stat(paths->log, &st) == 0 && (uint64_t)st.st_size > LOGFILE_SUPERVISOR_MAX &&
	    asprintf(&old, "%s.1", paths->log) >= 0)
		rename(paths->log, old);
	log = open(paths->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (log >= 0)
		dup2(log, STDERR_FILENO);
}

/* Only ours, and really a folder: under /tmp anybody could have made one of that name. */
static int make_private_folder(const char *path, struct annex_error **err)
{
	int result = file_make_folders(path, 0700);
	struct stat st;

	if (result < 0 || lstat(path, &st) < 0)
		return fail_os(err, result < 0 ? result : errno, "cannot make folder %s", path);
	if (S_ISDIR(st.st_mode) && st.st_uid == getuid() && ((st.st_mode & 077) == 0 || chmod(path, 0700) == 0))
		return 0;
	fail(err, ANNEX_ERROR_AUTH, "folder %s belongs to somebody else", path);
	return fail_hint(err, "set XDG_RUNTIME_DIR to a folder of your own");
}

/* Our starter must not get a child that it does not know of: it only waits for the process that it has started. */
static void leave_parent(void)
{
	pid_t pid = fork();

	if (pid > 0)
		_exit(0);
	setsid();
}

/* Before there is a loop: say why there won't be one, and that is all. */
static void tell(int fd, const struct annex_error *err)
{
	auto_text struct text out = {0};
	struct message_failure failure = {
		.kind = annex_error_kind(err),
		.os = (uint32_t)annex_error_errno(err),
		.message = annex_error_message(err),
		.hint = annex_error_hint(err),
	};

	if (message_put(&out, MESSAGE_HELLO, 0, &(struct message_hello){WIRE_VERSION, "supervisor"}) == 0 &&
	    message_put(&out, MESSAGE_FAILURE, 0, &failure) == 0)
		(void)!send(fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void report(const struct annex_error *err)
{
	log_info("%s", annex_error_message(err));
}

static void report_foreground(const struct annex_error *err)
{
	fprintf(stderr, "annex: %s\n", annex_error_message(err));
	if (annex_error_hint(err))
		fprintf(stderr, "hint: %s\n", annex_error_hint(err));
}

/* The lock is held throughout. Returns only when it can't be done. */
static void start_again(const struct options *options, unsigned attempt, int lock)
{
	char attempt_text[16], lock_text[16];
	const char *argv[] = {options->program, "--data",         options->data, "--config",   options->config,
			      "--runtime",      options->runtime, "--restart",   attempt_text, "--lock",
			      lock_text,        options->name,    NULL,          NULL};

	snprintf(attempt_text, sizeof(attempt_text), "%u", attempt);
	snprintf(lock_text, sizeof(lock_text), "%d", lock);
	if (options->foreground)
		argv[COUNT_OF(argv) - 2] = "--foreground";
	fcntl(lock, F_SETFD, 0);
	execv(options->program, (char *const *)argv);
	execv("/proc/self/exe", (char *const *)argv); /* another annex has taken its place */
	log_info("cannot start the machine again: %s", strerror(errno));
}

/* 0: the machine ran and ended as it was asked to. */
static int run(const struct options *options, int *client, struct annex_error **err)
{
	auto_machine_paths struct machine_paths paths = {0};
	auto_machine_record struct machine_record record = {0};
	struct supervisor supervisor = {
		.lock = options->lock, .foreground = options->foreground, .attempt = options->attempt};
	auto_free char *agent = NULL, *share_program = NULL, *network_program = NULL, *socket = NULL;
	auto_close int lock = -1;
	unsigned next;
	int result;

	if (machine_name_check(options->name, err) < 0 ||
	    machine_paths_make(&paths, options->data, options->config, options->runtime, options->name, err) < 0 ||
	    machine_record_load(&record, &paths, err) < 0 || take_lock(&supervisor.lock, &paths, err) < 0)
		return -1;
	if (make_private_folder(paths.runtime, err) < 0 || find_program(&agent, "annex-guest", err) < 0 ||
	    find_program(&share_program, "annex-share", err) < 0 ||
	    find_program(&network_program, NETWORK_PROCESS_PROGRAM, err) < 0 ||
	    machine_socket_path(&socket, &paths, record.id, err) < 0) {
		cleanup_close(&supervisor.lock);
		return -1;
	}
	if (!options->foreground)
		detach(&paths);
	clean_up(&paths);
	supervisor.paths = &paths;
	supervisor.record = &record;
	supervisor.agent = agent;
	supervisor.share_program = share_program;
	supervisor.network_program = network_program;
	supervisor.socket = socket;
	result = supervisor_run(&supervisor, client, err);
	if (result == 0 && supervisor.failure) {
		*err = TAKE(supervisor.failure);
		result = -1;
	}
	next = supervisor.next_attempt;
	lock = TAKE_FD(supervisor.lock);
	supervisor_clear(&supervisor);
	if (next > 0) {
		if (result < 0)
			(options->foreground ? report_foreground : report)(*err);
		start_again(options, next, lock);
	}
	return result;
}

/* For a service manager, a machine that somebody has started by hand is started: there is nothing to do, and nothing
 * for it to watch. */
static bool is_served(const struct options *options, const struct annex_error *err)
{
	if (!options->foreground || annex_error_kind(err) != ANNEX_ERROR_BUSY || !getenv("NOTIFY_SOCKET"))
		return false;
	notify("READY=1\nSTATUS=It runs already, started by hand.");
	report_foreground(err);
	return true;
}

int main(int argc, char **argv)
{
	auto_error struct annex_error *err = NULL;
	auto_close int client = -1;
	struct options options = {0};
	struct stat st;

	umask(077);
	signal(SIGPIPE, SIG_IGN);
	if (!parse(&options, argc, argv))
		return 2;
	if (!options.foreground && options.lock < 0 && fstat(FIRST_CLIENT_FD, &st) == 0 && S_ISSOCK(st.st_mode)) {
		client = FIRST_CLIENT_FD;
		fcntl(client, F_SETFD, FD_CLOEXEC);
	}
	if (!options.foreground && options.lock < 0)
		leave_parent();
	if (chdir("/") < 0)
		return 1;
	if (run(&options, &client, &err) == 0)
		return 0;
	if (is_served(&options, err))
		return 0;
	if (client >= 0)
		tell(client, err);
	if (options.foreground)
		report_foreground(err);
	else
		report(err);
	return 1;
}
