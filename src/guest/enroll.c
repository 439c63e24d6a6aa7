/*
 * Programs of the image look accounts up in their own ways (nsswitch.conf, PAM), and may be broken or slow. One that
 * knows the user under another name, or not at all, is an error: nothing that runs as that user would work. One that
 * does not answer, or asks for a password, is only told of. All of this happens when something has changed.
 */
#include "guest/enroll.h"

#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/text.h"
#include "base/time.h"
#include "guest/env.h"
#include "guest/process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

enum { CHECK_MS = 10000, SAYS_MAX = 400, OUTPUT_MAX = 1 << 20 };

/* What a program made of it. */
struct answer {
	bool there;    /* the image has the program */
	bool finished; /* in time, with few words, and not by a signal */
	int status;
	char says[SAYS_MAX]; /* the first line */
};

static char *find(const char *name)
{
	auto_text_list struct text_list candidates = {0};

	if (env_candidates(&candidates, ENV_PATH, name) < 0)
		return NULL;
	for (size_t i = 0; i < candidates.count; i++) {
		if (access(candidates.items[i], X_OK) == 0)
			return strdup(candidates.items[i]);
	}
	return NULL;
}

static int make_environment(struct text_list *env, const struct enroll *enroll)
{
	int result = env_set_pair(env, "PATH", ENV_PATH);

	result |= env_set_pair(env, "HOME", enroll->user->home);
	result |= env_set_pair(env, "USER", enroll->user->name);
	result |= env_set_pair(env, "LOGNAME", enroll->user->name);
	result |= env_set_pair(env, "LC_ALL", "C");
	return result < 0 ? -ENOMEM : 0;
}

_Noreturn static void child(const char *path, const char *const *argv, const struct enroll *enroll, int out)
{
	auto_text_list struct text_list env = {0};
	gid_t gid = enroll->account->gid;
	uid_t uid = enroll->account->uid;

	process_limit_files();
	if (make_environment(&env, enroll) == 0 && process_set_standard(-1, out, out) == 0 && setgroups(1, &gid) == 0 &&
	    setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0)
		execve(path, (char *const *)argv, env.items);
	_exit(127);
}

/* Until the process ends, the time is up, or it has said more than anybody would read. */
static void listen_to(struct answer *answer, int out, int pidfd, uint64_t deadline)
{
	struct pollfd fds[] = {{.fd = out, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
	size_t size = 0, said = 0;
	char chunk[4096]; /* what an ended one has left to say is taken at once, as far as it is kept */
	ssize_t n;

	while (!answer->finished && said <= OUTPUT_MAX) {
		uint64_t now = time_monotonic_ms();

		if (now >= deadline || poll(fds, COUNT_OF(fds), (int)(deadline - now)) < 0)
			break;
		n = read(out, chunk, sizeof(chunk));
		if (n == 0)
			fds[0].fd = -1; /* closed */
		if (n > 0) {
			size_t room = sizeof(answer->says) - 1 - size, taken = (size_t)n < room ? (size_t)n : room;

			memcpy(answer->says + size, chunk, taken);
			size += taken;
			said += (size_t)n;
		}
		answer->finished = fds[1].revents != 0;
	}
	answer->says[size] = '\0';
	answer->says[strcspn(answer->says, "\n")] = '\0';
}

/* Run a program of the image as the user, if there is one. */
static int ask(struct answer *ret, const struct enroll *enroll, const char *const *argv, struct annex_error **err)
{
	uint64_t deadline = time_monotonic_ms() + time_scaled_ms(CHECK_MS, enroll->deadline_factor);
	auto_free char *path = find(argv[0]);
	auto_close int reader = -1, writer = -1, pidfd = -1;
	int pipes[2], status = 0;
	pid_t pid;

	*ret = (struct answer){.there = path != NULL};
	if (!path)
		return 0;
	if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0)
		return fail_os(err, errno, "cannot make a pipe");
	reader = pipes[0];
	writer = pipes[1];
	fcntl(writer, F_SETFL, O_WRONLY);
	pid = process_clone(&pidfd, 0);
	if (pid < 0)
		return fail_os(err, pid, "cannot start %s", path);
	if (pid == 0)
		child(path, argv, enroll, writer);
	cleanup_close(&writer);
	writer = -1;
	listen_to(ret, reader, pidfd, deadline);
	if (!ret->finished)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ret->finished &= WIFEXITED(status);
	ret->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return 0;
}

static int check_name(const struct enroll *enroll, struct annex_error **err)
{
	static const char *const argv[] = {"id", "-un", NULL};
	struct answer answer;

	if (ask(&answer, enroll, argv, err) < 0)
		return -1;
	if (!answer.there || (answer.finished && answer.status == 0 && strcmp(answer.says, enroll->user->name) == 0))
		return 0;
	if (!answer.finished || answer.status > 1) {
		log_info("whether the image's programs know %s could not be seen: \"id\" failed", enroll->user->name);
		return 0;
	}
	fail(err, ANNEX_ERROR_GUEST, "programs of the image don't know the account %s (%u): \"id -un\" says \"%s\"",
	     enroll->user->name, enroll->account->uid, answer.says);
	return fail_hint(err, "the image's /etc/nsswitch.conf must have \"passwd: files\"");
}

/* Whoever is asked for a password has none. *ret_there: the image has the program. */
static int check_privilege(bool *ret_there, const struct enroll *enroll, const char *program, struct annex_error **err)
{
	const char *const argv[] = {program, "-n", "true", NULL};
	struct answer answer;

	if (ask(&answer, enroll, argv, err) < 0)
		return -1;
	*ret_there = answer.there;
	if (answer.there && (!answer.finished || answer.status != 0))
		log_info("%s does not work for %s: %s", program, enroll->user->name,
			 answer.finished ? answer.says : "it was killed, or did not answer in time");
	else if (answer.there && answer.says[0])
		log_info("%s works for %s, but says: %s", program, enroll->user->name, answer.says);
	return 0;
}

/* The image's script. */

static int script_environment(struct text_list *env, const struct enroll *enroll)
{
	static const char *const root[][2] = {
		{"HOME", "/root"}, {"USER", "root"}, {"LOGNAME", "root"}, {"TERM", "dumb"}, {"container", "annex"}};
	int result = env_set_pair(env, "PATH", ENV_PATH);

	result |= env_set_all(env, enroll->environment);
	for (size_t i = 0; i < COUNT_OF(root); i++)
		result |= env_set_pair(env, root[i][0], root[i][1]);
	result |= env_set_pair(env, "CONTAINER_USER", enroll->user->name);
	result |= env_set_pair(env, "CONTAINER_HOME", enroll->user->home);
	result |= env_set_pair(env, "CONTAINER_MACHINE_ID", enroll->machine_id);
	if (result == 0)
		result = text_list_printf(env, "CONTAINER_UID=%u", enroll->account->uid);
	if (result == 0)
		result = text_list_printf(env, "CONTAINER_GID=%u", enroll->account->gid);
	return result < 0 ? -ENOMEM : 0;
}

static int explain(struct annex_error **err, int os)
{
	switch (os) {
	case EACCES:
		fail(err, ANNEX_ERROR_GUEST, "the image's %s can't be executed", ACCOUNT_SCRIPT);
		return fail_hint(err, "chmod 755 it in the image");
	case ENOENT:
	case ELOOP:
		fail(err, ANNEX_ERROR_GUEST, "the image lacks the interpreter of its %s", ACCOUNT_SCRIPT);
		return fail_hint(err, "its first line must name a program that the image has");
	case ENOEXEC:
		fail(err, ANNEX_ERROR_GUEST, "the image's %s is no program", ACCOUNT_SCRIPT);
		return fail_hint(err, "its first line must be one like #!/bin/sh");
	default:
		return fail_os(err, os, "cannot run the image's %s", ACCOUNT_SCRIPT);
	}
}

static int run_script(const struct enroll *enroll, struct annex_error **err)
{
	static const char *const argv[] = {ACCOUNT_SCRIPT, NULL};
	auto_text_list struct text_list env = {0};
	auto_error struct annex_error *refused = NULL;
	static const struct spawn_fd console[] = {{1, 1}, {2, 2}};
	struct spawn_options options = {.argv = argv, .folder = "/", .fds = console, .fd_count = COUNT_OF(console)};
	int status = 0;
	pid_t pid;

	if (script_environment(&env, enroll) < 0)
		return fail_memory(err);
	options.environment = (const char *const *)env.items;
	if (access(ACCOUNT_SCRIPT, X_OK) < 0)
		return errno == ENOENT
			       ? fail(err, ANNEX_ERROR_GUEST, "the image's %s is a link to nowhere", ACCOUNT_SCRIPT)
			       : explain(err, errno);
	if (spawn(&pid, NULL, &options, &refused) < 0)
		return explain(err, annex_error_errno(refused));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return fail(err, ANNEX_ERROR_GUEST, "the image's %s was killed by signal %d", ACCOUNT_SCRIPT,
			    WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return fail(err, ANNEX_ERROR_GUEST, "the image's %s ended with status %d", ACCOUNT_SCRIPT,
			    WEXITSTATUS(status));
	return 0;
}

/* What was not written yet would be missed by those who read that it is done. */
static int write_disk(struct annex_error **err)
{
	auto_close int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || syncfs(fd) < 0 ? fail_os(err, errno, "cannot write the machine's disk") : 0;
}

int enroll(const struct enroll *enroll, struct annex_error **err)
{
	auto_account_user struct account_user user = {0};
	struct enroll now = *enroll;
	bool by_script = enroll->user->rest == ACCOUNT_RUN, is_there = false;

	if (by_script) {
		if (run_script(enroll, err) < 0)
			return -1;
		if (account_take(&user, enroll->account, err) < 0)
			return fail_while(err, "the image's %s ended with status 0", ACCOUNT_SCRIPT);
		now.user = &user;
	}
	if (check_name(&now, err) < 0)
		return -1;
	if (!by_script && (check_privilege(&is_there, &now, "sudo", err) < 0 ||
			   (!is_there && check_privilege(&is_there, &now, "doas", err) < 0)))
		return -1;
	return write_disk(err) < 0 ? -1 : account_settle(enroll->account, by_script, err);
}
