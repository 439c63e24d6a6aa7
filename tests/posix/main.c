/*
 * Runs cases, or one of the programs beside them, on whatever file system a folder is on. One static program, which
 * runs in any image: what it says of a machine's share can be compared with what it says of the host's own disk.
 *
 *   posix-suite cases FOLDER [PART-OF-A-NAME]    one line for each: ok, not ok or skip
 *   posix-suite transcript FOLDER SEED STEPS     what a long list of calls gave
 *   posix-suite fsx FOLDER SEED OPERATIONS       random input and output, verified
 *   posix-suite readonly FOLDER                  whatever would change something must fail
 *   posix-suite full FOLDER                      on a file system with little room, which gets full
 *   posix-suite shared FOLDER WHAT…              one side of what two kernels do to the same files
 */
#include "posix.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "alone.h"
#include "verdict.h"

#define SECONDS_LIMIT 90 /* of a case: it hangs */

static const struct posix_group *const groups[] = {
	&group_open,   &group_name, &group_data,  &group_space,   &group_rename, &group_link,
	&group_remove, &group_mode, &group_owner, &group_time,    &group_folder, &group_attribute,
	&group_acl,    &group_lock, &group_map,   &group_special,
};

struct counts {
	unsigned passed, failed, skipped;
};

_Noreturn static void run_case(const struct posix_case *which, const char *folder)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	umask(022);
	if (which->flags & FOR_ROOT && !is_root())
		skip("only root can");
	if (which->flags & FOR_USER && is_root())
		skip("root may do anything");
	if (mkdir(folder, 0777) < 0 || chdir(folder) < 0)
		stop(__FILE__, __LINE__, "no folder for it: %s", error_name(errno));
	which->run();
	_exit(0);
}

static void end_group(pid_t pid)
{
	kill(-pid, SIGKILL);
	while (waitpid(-pid, NULL, 0) > 0)
		;
}

static void await_case(pid_t pid, struct verdict *verdict)
{
	struct timespec limit = {.tv_sec = SECONDS_LIMIT};
	sigset_t child;
	int status = 0, none = VERDICT_NONE;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (sigtimedwait(&child, NULL, &limit) >= 0 || errno == EINTR)
			continue;
		kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
		break;
	}
	if (status && atomic_compare_exchange_strong(&verdict->kind, &none, VERDICT_FAILED))
		snprintf(verdict->text, sizeof(verdict->text),
			 WIFSIGNALED(status) ? "ended by signal %d" : "ended with status %d",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	end_group(pid);
}

static void try_case(const struct posix_case *which, const char *folder, struct verdict *verdict, struct counts *counts)
{
	char name[128];
	pid_t pid;

	snprintf(name, sizeof(name), "%s", which->name);
	for (char *at = name; *at; at++)
		*at = *at == '_' ? ' ' : *at;
	verdict->kind = VERDICT_NONE;
	if (is_there(folder))
		remove_tree(folder); /* of a run that was ended */
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		run_case(which, folder);
	await_case(pid, verdict);
	switch ((enum verdict_kind)verdict->kind) {
	case VERDICT_NONE:
		printf("ok %s\n", name);
		counts->passed++;
		break;
	case VERDICT_FAILED:
		printf("not ok %s: %s\n", name, verdict->text);
		counts->failed++;
		break;
	case VERDICT_SKIPPED:
		printf("skip %s: %s\n", name, verdict->text);
		counts->skipped++;
		break;
	}
	if (is_there(folder))
		remove_tree(folder);
}

static int cases_main(int argc, char **argv)
{
	struct verdict *verdict =
		mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct counts counts = {0};
	const char *only = argc > 2 ? argv[2] : "";
	sigset_t child;

	if (argc < 2 || verdict == MAP_FAILED || chdir(argv[1]) < 0) {
		fprintf(stderr, "posix-suite: no folder to work in\n");
		return 2;
	}
	verdict_use(verdict);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	for (size_t i = 0; i < COUNT_OF(groups); i++) {
		for (size_t k = 0; k < groups[i]->count; k++) {
			char folder[32];

			snprintf(folder, sizeof(folder), "%s-%zu", groups[i]->name, k);
			if (strstr(groups[i]->cases[k].name, only) || strcmp(groups[i]->name, only) == 0)
				try_case(&groups[i]->cases[k], folder, verdict, &counts);
		}
	}
	printf("%u passed, %u failed, %u skipped\n", counts.passed, counts.failed, counts.skipped);
	return counts.failed || counts.passed == 0;
}

int alone(int argc, char **argv, void (*run)(void))
{
	struct verdict *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool failed;
	pid_t pid;

	if (argc < 2 || shared == MAP_FAILED || chdir(argv[1]) < 0) {
		fprintf(stderr, "posix-suite: no folder to work in\n");
		return 2;
	}
	verdict_use(shared);
	pid = fork();
	if (pid == 0) {
		run();
		_exit(0);
	}
	failed = child_signal(pid) != 0 || shared->kind != VERDICT_NONE;
	if (failed)
		printf("not ok: %s\n", shared->text);
	else
		printf("ok\n");
	return failed;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} programs[] = {
		{"cases", cases_main},       {"transcript", transcript_main}, {"fsx", fsx_main},
		{"readonly", readonly_main}, {"shared", shared_main},         {"full", full_main},
	};

	for (size_t i = 0; i < COUNT_OF(programs) && argc > 1; i++) {
		if (strcmp(argv[1], programs[i].name) == 0)
			return programs[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "usage: posix-suite cases|transcript|fsx|readonly|full|shared FOLDER …\n");
	return 2;
}
