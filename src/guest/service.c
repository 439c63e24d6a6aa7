/*
 * What an image says of its command is what Docker makes of it: its user, its folder (made where it is missing), its
 * environment, no terminal. Its output goes through a pipe, which is the user's, so that /dev/stdout can be opened, and
 * is copied to the console by a process that ends when nobody can write to the pipe any more.
 */
#include "guest/service.h"

#include "base/file.h"
#include "guest/env.h"
#include "guest/execute.h"
#include "guest/process.h"
#include "guest/program.h"
#include "guest/report.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { HOST_NAME_LIMIT = 65, FIXED_WORDS = 4 };

extern char **environ;

static int resolve(struct passwd_identity *ret, const char *user, struct annex_error **err)
{
	auto_free char *passwd = NULL, *group = NULL;

	if (passwd_read(&passwd, "/etc/passwd", "", err) < 0 || passwd_read(&group, "/etc/group", "", err) < 0)
		return -1;
	return passwd_resolve(ret, *user ? user : "0", passwd, group, err);
}

static void identity_clear(struct passwd_identity *identity)
{
	passwd_user_clear(&identity->user);
}
#define auto_identity CLEANUP(identity_clear)

/* Before the start. */

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

int service_check(const struct message_config *config, struct annex_error **err)
{
	auto_text_list struct text_list env = {0}, candidates = {0};
	auto_identity struct passwd_identity identity = {0};
	auto_error struct annex_error *cause = NULL;
	const char *program = config->init_argv[0];

	if (!program)
		return fail(err, ANNEX_ERROR_GUEST, "the image has no command to run as a service");
	if (resolve(&identity, config->service_user, &cause) < 0)
		return fail(err, ANNEX_ERROR_GUEST, "the image's service: %s", annex_error_message(cause));
	if (env_set_all(&env, config->environment) < 0 ||
	    env_candidates(&candidates, env_get(&env, "PATH"), program) < 0)
		return fail_memory(err);
	/* A relative path is one of its folder, which need not be there yet. */
	for (size_t i = 0; i < candidates.count; i++) {
		if (candidates.items[i][0] != '/' || is_program(candidates.items[i]))
			return 0;
	}
	fail(err, ANNEX_ERROR_GUEST, "the image's service: %s: no such program in the image", program);
	return fail_hint(err, "annex set service=false");
}

int service_words(struct text_list *ret, const struct message_config *config)
{
	int result = text_list_add(ret, PROGRAM_BUILTIN);

	result |= text_list_add(ret, config->service_user);
	result |= text_list_add(ret, config->service_folder);
	result |= text_list_printf(ret, "%u", config->stop_signal);
	for (const char *const *word = config->init_argv; *word; word++)
		result |= text_list_add(ret, *word);
	return result;
}

bool service_parse(struct service *ret, int argc, char **argv)
{
	uint32_t signal = 0;

	if (argc <= FIXED_WORDS || text_to_u32(&signal, argv[3], 10) < 0)
		return false;
	*ret = (struct service){.user = argv[1],
				.folder = argv[2],
				.stop_signal = signal > 0 && signal < NSIG ? (int)signal : SIGTERM,
				.argv = (const char *const *)argv + FIXED_WORDS};
	return true;
}

/* Its process. */

static int make_environment(struct text_list *env, const struct passwd_user *user, struct annex_error **err)
{
	char name[HOST_NAME_LIMIT] = "";
	int result = 0;

	for (char **at = environ; *at && result == 0; at++) {
		if (!text_starts(*at, "NOTIFY_SOCKET=") && !text_starts(*at, "TERM="))
			result = text_list_add(env, *at);
	}
	if (!env_get(env, "HOME"))
		result |= env_set_pair(env, "HOME", user->home);
	if (!env_get(env, "HOSTNAME") && gethostname(name, sizeof(name) - 1) == 0)
		result |= env_set_pair(env, "HOSTNAME", name);
	return result < 0 ? fail_memory(err) : 0;
}

static int enter_folder(const char *folder, struct annex_error **err)
{
	int result = 0;

	if (!*folder)
		folder = "/";
	if (!file_exists(AT_FDCWD, folder))
		result = file_make_folders(folder, 0755);
	if (result == 0 && chdir(folder) < 0)
		result = -errno;
	return result < 0 ? fail_os(err, result, "cannot go to the folder %s", folder) : 0;
}

static int execute(const struct service *service, int out, struct annex_error **err)
{
	auto_text_list struct text_list env = {0};
	auto_identity struct passwd_identity identity = {0};

	if (resolve(&identity, service->user, err) < 0 || make_environment(&env, &identity.user, err) < 0 ||
	    enter_folder(service->folder, err) < 0)
		return -1;
	if (fchown(out, identity.user.uid, identity.user.gid) < 0 || process_set_standard(-1, out, out) < 0)
		return fail_os(err, errno, "cannot set up standard output");
	if (execute_as(&identity, err) < 0)
		return -1;
	return execute_program(service->argv[0], service->argv, &env, err);
}

/* Signals that ask all processes to end find it deaf: who still has something to say is heard. */
_Noreturn static void copy_output(int in)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(in, bytes, sizeof(bytes))) > 0) {
		if (file_write_all(STDOUT_FILENO, bytes, (size_t)n) < 0)
			break;
	}
	_exit(0);
}

/* Waits for the report's end, which is the program's beginning. */
static int await(int reports, struct annex_error **err)
{
	struct pollfd ready = {.fd = reports, .events = POLLIN};
	struct report report;
	int fd = -1;

	for (;;) {
		switch (report_receive(&report, &fd, reports)) {
		case REPORT_NOTHING:
			poll(&ready, 1, -1);
			break;
		case REPORT_FD:
			cleanup_close(&fd);
			break;
		case REPORT_ERROR:
			return report_to_error(&report, err);
		case REPORT_END:
			return 0;
		}
	}
}

static pid_t fork_service(const struct service *service, int out, int reports)
{
	struct annex_error *err = NULL;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	process_reset();
	execute(service, out, &err);
	report_send_error(reports, err);
	_exit(127);
}

int service_start(pid_t *ret, const struct service *service, struct annex_error **err)
{
	auto_close int in = -1, out = -1, ours = -1, theirs = -1;
	int pipes[2], pair[2], result = report_pair(pair);
	pid_t pid, copier;

	if (result < 0)
		return fail_os(err, result, "cannot start the service");
	ours = pair[0];
	theirs = pair[1];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot start the service");
	in = pipes[0];
	out = pipes[1];
	pid = fork_service(service, out, theirs);
	if (pid < 0)
		return fail_os(err, errno, "cannot start the service");
	*ret = pid;
	cleanup_close(&out);
	cleanup_close(&theirs);
	out = theirs = -1;
	copier = fork();
	if (copier == 0)
		copy_output(in);
	if (copier < 0)
		return fail_os(err, errno, "cannot show what the service says");
	return await(ours, err);
}

void service_tell(const struct annex_error *err)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	auto_text struct text message = {0};

	text_add(&message, err ? "STATUS=the service: " : "READY=1");
	text_add(&message, err ? annex_error_message(err) : "");
	if (fd < 0 || length < 2 || length >= sizeof(address.sun_path) || path[0] != '@' || !text_ok(&message))
		return;
	memcpy(address.sun_path + 1, path + 1, length - 1);
	/* Who does not hear it waits for the machine in vain, and says so. */
	if (sendto(fd, message.data, message.size, 0, (struct sockaddr *)&address,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		fprintf(stderr, "annex: %s: %s\n", path, strerror(errno));
}
