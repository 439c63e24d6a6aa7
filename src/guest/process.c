#include "guest/process.h"

#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { STAT_MAX = 4096, STAT_SESSION = 3, STAT_TERMINAL = 4, KILL_ROUNDS = 16 };
enum { FDINFO_MAX = 4096 };
enum { FILES_SOFT = 1024, FILES_HARD = 524288 }; /* what systemd gives to services */

pid_t process_clone(int *ret_pidfd, uint64_t namespaces)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = namespaces | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		return -errno;
	if (pid > 0)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}

/* Its memory goes first, and the link to its program with it. */
bool process_is_ending(int pidfd)
{
	auto_free char *info = NULL, *exe = NULL;
	char path[64], target[16];
	const char *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if (file_read(&info, NULL, AT_FDCWD, path, FDINFO_MAX) < 0 || !(line = strstr(info, "\nPid:\t")))
		return true;
	if (asprintf(&exe, "/proc/%.*s/exe", (int)strspn(line + 6, "0123456789"), line + 6) < 0) {
		exe = NULL;
		return false;
	}
	return readlink(exe, target, sizeof(target)) < 0 && (errno == ENOENT || errno == ESRCH);
}

/* setns() with a pid namespace changes only where our next children are born; afterwards it is taken back. */
pid_t process_fork_into(int pidfd)
{
	auto_close int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	if (own < 0 || setns(pidfd, CLONE_NEWPID) < 0)
		return -errno;
	pid = fork();
	if (pid < 0)
		pid = -errno;
	if (pid != 0 && setns(own, CLONE_NEWPID) < 0)
		return -errno;
	return pid;
}

void process_reset(void)
{
	struct rlimit files = {.rlim_cur = FILES_HARD, .rlim_max = FILES_HARD};
	struct sigaction standard = {.sa_handler = SIG_DFL};
	auto_close int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &standard, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (fd >= 0 && file_write_all(fd, "0", 1) < 0)
		return; /* a kernel without it kills by size alone */
	setrlimit(RLIMIT_NOFILE, &files);
	umask(022);
}

void process_limit_files(void)
{
	struct rlimit files = {.rlim_cur = FILES_SOFT, .rlim_max = FILES_HARD};

	setrlimit(RLIMIT_NOFILE, &files);
}

int process_set_standard(int in, int out, int errors)
{
	auto_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int wanted[] = {in, out, errors};

	for (int i = 0; i < 3; i++) {
		if (dup2(wanted[i] < 0 ? null : wanted[i], i) < 0)
			return -errno;
	}
	return 0;
}

/* A field of a process, or 0: it is gone. */
static uint32_t read_field(int proc, const char *name, int index)
{
	auto_free char *text = NULL;
	char path[32], *at, *field = NULL;
	uint32_t value = 0;

	snprintf(path, sizeof(path), "%.16s/stat", name);
	if (file_read(&text, NULL, proc, path, STAT_MAX) < 0)
		return 0;
	at = strrchr(text, ')'); /* behind its name, which may hold anything: state, parent, group, session, terminal */
	if (!at || !at[1])
		return 0;
	at += 2;
	for (int i = 0; i <= index; i++)
		field = strsep(&at, " ");
	return field && text_to_u32(&value, field, 10) == 0 ? value : 0;
}

/* How many were found. */
static unsigned signal_all(int proc, DIR *folder, pid_t leader, int number)
{
	struct dirent *entry;
	unsigned found = 0;

	rewinddir(folder);
	while ((entry = readdir(folder))) {
		uint32_t pid = 0;

		if (text_to_u32(&pid, entry->d_name, 10) == 0 &&
		    read_field(proc, entry->d_name, STAT_SESSION) == (uint32_t)leader)
			found += kill((pid_t)pid, number) == 0;
	}
	return found;
}

void process_signal_session(pid_t leader, bool ended, int number)
{
	DIR *folder = opendir("/proc");

	if (!folder)
		return;
	/* A process with the leader's number is another one by now, and its session too. */
	if (!ended || kill(leader, 0) < 0) {
		/* What is born while we look is found the next time. */
		for (unsigned i = 0; signal_all(dirfd(folder), folder, leader, number) > 0; i++) {
			if (number != SIGKILL || i == KILL_ROUNDS)
				break;
		}
		if (number == SIGTERM || number == SIGHUP)
			signal_all(dirfd(folder), folder, leader, SIGCONT);
	}
	closedir(folder);
}

void process_hang_up(void)
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		uint32_t pid = 0;

		if (text_to_u32(&pid, entry->d_name, 10) == 0 && pid > 1 &&
		    read_field(dirfd(folder), entry->d_name, STAT_TERMINAL) != 0)
			kill((pid_t)pid, SIGHUP);
	}
	if (folder)
		closedir(folder);
}
