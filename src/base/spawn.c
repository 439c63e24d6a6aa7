/*
 * fork and exec with an error pipe: the child reports an errno through a close-on-exec pipe, so the parent knows
 * that exec happened. Between fork and exec only async-signal-safe calls are made.
 */
#include "base/spawn.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FD_SPARE = 64 };

/* The child's wanted descriptors lie below: where ours are moved to first. */
static int safe_number(const struct spawn_options *options)
{
	int safe = FD_SPARE;

	for (size_t i = 0; i < options->fd_count; i++) {
		if (options->fds[i].to >= safe)
			safe = options->fds[i].to + 1;
	}
	return safe;
}

char *spawn_find(const char *name)
{
	const char *path = getenv("PATH");
	char *found;

	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? strdup(name) : NULL;
	path = path && *path ? path : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
	for (const char *end; *path; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		if (asprintf(&found, "%.*s/%s", (int)(end - path), path, name) < 0)
			return NULL;
		if (access(found, X_OK) == 0)
			return found;
		free(found);
	}
	return NULL;
}

static void reset_signals(void)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &standard, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* For a moment every descriptor is there twice, which the soft limit may not allow. */
static void allow_files(struct rlimit *was)
{
	if (getrlimit(RLIMIT_NOFILE, was) == 0)
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){was->rlim_max, was->rlim_max});
}

/* The program must still be able to open what it needs to start. */
static void restore_files(struct rlimit *was, int safe)
{
	rlim_t needed = safe > FD_SPARE ? (rlim_t)safe + FD_SPARE : 0;

	if (was->rlim_cur < needed)
		was->rlim_cur = needed < was->rlim_max ? needed : was->rlim_max;
	if (was->rlim_max > 0)
		setrlimit(RLIMIT_NOFILE, was);
}

static int move_high(int fd, int safe)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, safe);

	if (moved < 0 && errno == EINVAL) /* `safe` is past the limit */
		errno = EMFILE;
	return moved;
}

/* Move every wanted descriptor out of the way first, then to its number. */
static int place_fds(const struct spawn_options *options, int *high, int safe, int *report)
{
	int null = -1, moved = move_high(*report, safe);

	if (moved < 0)
		return -1;
	*report = moved;
	for (size_t i = 0; i < options->fd_count; i++) {
		high[i] = move_high(options->fds[i].from, safe);
		if (high[i] < 0)
			return -1;
	}
	if (!options->keep_standard) {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		for (int i = 0; i < 3; i++) {
			if (null < 0 || dup2(null, i) < 0)
				return -1;
		}
	}
	if (syscall(SYS_close_range, 3u, (unsigned)safe - 1, 0u) < 0) {
		for (int i = 3; i < safe; i++)
			close(i);
	}
	for (size_t i = 0; i < options->fd_count; i++) {
		if (dup2(high[i], options->fds[i].to) < 0)
			return -1;
	}
	return 0;
}

static void close_above(int safe, int report)
{
	syscall(SYS_close_range, (unsigned)report + 1, ~0u, 0u);
	for (int i = safe; i < report; i++)
		close(i);
}

/* `high` has room for a number per descriptor. */
_Noreturn static void child(const char *program, const struct spawn_options *options, int *high, int report,
			    pid_t parent)
{
	int cause, safe = safe_number(options);
	struct rlimit files = {0};

	reset_signals();
	if (options->new_session)
		setsid();
	if (options->parent_death_signal) {
		prctl(PR_SET_PDEATHSIG, options->parent_death_signal);
		if (getppid() != parent)
			_exit(127);
	}
	allow_files(&files);
	if (place_fds(options, high, safe, &report) == 0 && (!options->folder || chdir(options->folder) == 0)) {
		close_above(safe, report);
		restore_files(&files, safe);
		execve(program, (char *const *)options->argv,
		       options->environment ? (char *const *)options->environment : environ);
	}
	cause = errno;
	if (write(report, &cause, sizeof(cause)) < 0)
		_exit(126);
	_exit(127);
}

int spawn(pid_t *ret, int *ret_pidfd, const struct spawn_options *options, struct annex_error **err)
{
	auto_free char *program = spawn_find(options->argv[0]);
	auto_close int reader = -1, writer = -1, pidfd = -1;
	pid_t parent = getpid(), pid;
	auto_free int *high = calloc(options->fd_count + 1, sizeof(*high));
	int pipes[2], cause = 0;

	if (!program)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "program %s is not installed", options->argv[0]);
	if (!high)
		return fail_memory(err);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot start %s", program);
	reader = pipes[0];
	writer = pipes[1];
	pid = fork();
	if (pid < 0)
		return fail_os(err, errno, "cannot start %s", program);
	if (pid == 0)
		child(program, options, high, writer, parent);
	cleanup_close(&writer);
	writer = -1;
	if (file_read_full(reader, &cause, sizeof(cause)) == (ssize_t)sizeof(cause)) {
		waitpid(pid, NULL, 0);
		return fail_os(err, cause, "cannot start %s", program);
	}
	if (ret_pidfd) {
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0u);
		if (pidfd < 0) {
			cause = errno;
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return fail_os(err, cause, "cannot watch %s", program);
		}
		*ret_pidfd = TAKE_FD(pidfd);
	}
	*ret = pid;
	return 0;
}

/* Read both streams until both end; past `limit` the rest is dropped. */
static void drain(struct text *out, struct text *errors, int out_fd, int errors_fd, size_t limit)
{
	struct pollfd fds[2] = {{.fd = out_fd, .events = POLLIN}, {.fd = errors_fd, .events = POLLIN}};
	struct text *texts[2] = {out, errors};
	char chunk[4096];

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			n = read(fds[i].fd, chunk, sizeof(chunk));
			if (n <= 0)
				fds[i].fd = -1;
			else if (texts[i]->size + (size_t)n <= limit)
				text_add_bytes(texts[i], chunk, (size_t)n);
		}
	}
}

int spawn_capture(char **ret, char **ret_stderr, int *ret_status, const char *const *argv, size_t limit,
		  struct annex_error **err)
{
	auto_text struct text out = {0}, errors = {0};
	auto_close int out_read = -1, out_write = -1, err_read = -1, err_write = -1;
	int pipes[2], status = 0;
	pid_t pid = -1;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot start %s", argv[0]);
	out_read = pipes[0];
	out_write = pipes[1];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot start %s", argv[0]);
	err_read = pipes[0];
	err_write = pipes[1];
	if (spawn(&pid, NULL,
		  &(struct spawn_options){
			  .argv = argv, .fds = (struct spawn_fd[]){{out_write, 1}, {err_write, 2}}, .fd_count = 2},
		  err) < 0)
		return -1;
	cleanup_close(&out_write);
	cleanup_close(&err_write);
	out_write = err_write = -1;
	drain(&out, &errors, out_read, err_read, limit);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!text_ok(&out) || !text_ok(&errors))
		return fail_memory(err);
	if (ret)
		*ret = text_take(&out);
	if (ret_stderr)
		*ret_stderr = text_take(&errors);
	*ret_status = status;
	return 0;
}

unsigned long long spawn_start_time(pid_t pid)
{
	auto_free char *stat = NULL;
	char path[64], *at, *field;
	uint64_t value = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(&stat, NULL, AT_FDCWD, path, 4096) < 0)
		return 0;
	at = strrchr(stat, ')'); /* fields 3 and on follow; the start time is field 22 */
	if (!at)
		return 0;
	at++;
	for (int i = 3; i <= 22; i++) {
		field = strsep(&at, " ");
		if (i == 3 && field && !*field)
			field = strsep(&at, " ");
		if (!field)
			return 0;
		if (i == 22 && text_to_u64(&value, field, 10) < 0)
			return 0;
	}
	return value;
}

/* *ret: a descriptor of the process, which is readable once that has ended. */
static int signal_exact(int *ret, pid_t pid, unsigned long long start_time, int signal)
{
	auto_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0u);

	if (pidfd < 0)
		return -errno;
	if (spawn_start_time(pid) != start_time)
		return -ESRCH;
	if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0u) < 0)
		return -errno;
	*ret = TAKE_FD(pidfd);
	return 0;
}

int spawn_signal_exact(pid_t pid, unsigned long long start_time, int signal)
{
	auto_close int pidfd = -1;

	return signal_exact(&pidfd, pid, start_time, signal);
}

int spawn_kill_exact(pid_t pid, unsigned long long start_time)
{
	auto_close int pidfd = -1;
	int result = signal_exact(&pidfd, pid, start_time, SIGKILL);
	struct pollfd gone = {.fd = pidfd, .events = POLLIN};

	if (result < 0)
		return result;
	while (poll(&gone, 1, -1) < 0 && errno == EINTR)
		;
	return 0;
}
