/*
 * A helper gets its request as a file on its standard input, so that nothing here waits for it to read, and its answer
 * is taken while it runs. It has ended when the process has: a daemon that it left behind may keep the pipes open.
 */
#include "registry/helper.h"

#include "base/file.h"
#include "base/spawn.h"
#include "base/text.h"
#include "base/time.h"
#include "json/json.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define STEP_MS     100 /* between two looks at cancellation */
#define QUOTE_LIMIT 200 /* bytes of what it said, in messages */

static const char token_user[] = "<token>"; /* the secret is an identity token */

struct answer {
	struct text out, errors;
	int status; /* of waitpid() */
};

static void answer_clear(struct answer *answer)
{
	if (answer->out.data)
		explicit_bzero(answer->out.data, answer->out.size);
	text_clear(&answer->out);
	text_clear(&answer->errors);
}
#define auto_answer CLEANUP(answer_clear)

struct running {
	const char *program;
	pid_t pid;
	int pidfd, out, errors;
};

static void running_clear(struct running *running)
{
	if (running->pid > 0) {
		kill(running->pid, SIGKILL);
		while (waitpid(running->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	cleanup_close(&running->pidfd);
	cleanup_close(&running->out);
	cleanup_close(&running->errors);
}
#define auto_running CLEANUP(running_clear)

static int make_input(const char *bytes)
{
	auto_close int fd = memfd_create("annex-credential", MFD_CLOEXEC);
	int result;

	if (fd < 0)
		return -errno;
	result = file_write_all(fd, bytes, strlen(bytes));
	if (result < 0)
		return result;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
}

static int start(struct running *ret, const char *program, const char *verb, const char *request,
		 struct annex_error **err)
{
	auto_close int input = make_input(request), out = -EBADF, errors = -EBADF;
	auto_free char *path = spawn_find(program);
	int pipes[2];

	/* Not NOT_FOUND: what the user asked for is another thing. */
	if (!path)
		return fail(err, ANNEX_ERROR_SYSTEM, "program %s is not installed", program);
	if (input < 0)
		return fail_os(err, input, "cannot start %s", program);
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot start %s", program);
	ret->out = pipes[0];
	out = pipes[1];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot start %s", program);
	ret->errors = pipes[0];
	errors = pipes[1];
	if (fcntl(ret->out, F_SETFL, O_NONBLOCK) < 0 || fcntl(ret->errors, F_SETFL, O_NONBLOCK) < 0)
		return fail_os(err, errno, "cannot start %s", program);
	return spawn(&ret->pid, &ret->pidfd,
		     &(struct spawn_options){.argv = (const char *const[]){program, verb, NULL},
					     .fds = (struct spawn_fd[]){{input, 0}, {out, 1}, {errors, 2}},
					     .fd_count = 3},
		     err);
}

/* Takes what is there. Returns whether more can come. */
static bool take(struct text *into, int fd)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0 && into->size <= HELPER_OUTPUT_LIMIT)
		text_add_bytes(into, chunk, (size_t)n);
	explicit_bzero(chunk, sizeof(chunk));
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static int listen_to(struct answer *answer, const struct running *running, const struct credential_wait *wait,
		     struct annex_error **err)
{
	struct pollfd fds[] = {{.fd = running->out, .events = POLLIN},
			       {.fd = running->errors, .events = POLLIN},
			       {.fd = running->pidfd, .events = POLLIN}};
	uint64_t allowed = time_scaled_ms(HELPER_DEADLINE_MS, 1), end = time_monotonic_ms() + allowed;

	for (bool ended = false; !ended;) {
		uint64_t now = time_monotonic_ms();

		if (now >= end)
			return fail(err, ANNEX_ERROR_TIMEOUT, "%s did not answer within %llu s", running->program,
				    (unsigned long long)(allowed + 999) / 1000);
		if (wait && wait->check && wait->check(wait->data) != 0)
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
		if (poll(fds, COUNT_OF(fds), end - now < STEP_MS ? (int)(end - now) : STEP_MS) < 0 && errno != EINTR)
			return fail_os(err, errno, "cannot wait for %s", running->program);
		ended = fds[2].revents;
		if (fds[0].fd >= 0 && !take(&answer->out, fds[0].fd))
			fds[0].fd = -1;
		if (fds[1].fd >= 0 && !take(&answer->errors, fds[1].fd))
			fds[1].fd = -1;
		if (answer->out.size > HELPER_OUTPUT_LIMIT || answer->errors.size > HELPER_OUTPUT_LIMIT)
			return fail(err, ANNEX_ERROR_CORRUPT, "%s says more than %u KiB", running->program,
				    HELPER_OUTPUT_LIMIT >> 10);
	}
	return text_ok(&answer->out) && text_ok(&answer->errors) ? 0 : fail_memory(err);
}

static int run(struct answer *ret, const char *program, const char *verb, const char *request,
	       const struct credential_wait *wait, struct annex_error **err)
{
	auto_running struct running running = {program, -1, -EBADF, -EBADF, -EBADF};

	if (start(&running, program, verb, request, err) < 0 || listen_to(ret, &running, wait, err) < 0)
		return -1;
	while (waitpid(running.pid, &ret->status, 0) < 0 && errno == EINTR)
		;
	running.pid = -1;
	return 0;
}

static bool succeeded(const struct answer *answer)
{
	return WIFEXITED(answer->status) && WEXITSTATUS(answer->status) == 0;
}

/* The protocol has no other sign of it than this text, on standard output. */
static bool has_none(const struct answer *answer)
{
	const char *said = answer->out.data ? answer->out.data : "";

	return !succeeded(answer) && text_starts(said + strspn(said, " \t\r\n"), "credentials not found");
}

/* `secret`: what must not be quoted, or NULL. */
static int failed(const struct answer *answer, const char *program, const char *secret, struct annex_error **err)
{
	const char *const texts[] = {answer->out.data, answer->errors.data};

	if (WIFSIGNALED(answer->status) && WTERMSIG(answer->status) == SIGINT)
		return fail(err, ANNEX_ERROR_CANCELLED, "%s was interrupted", program);
	if (WIFSIGNALED(answer->status))
		return fail(err, ANNEX_ERROR_SYSTEM, "%s was ended by signal %d", program, WTERMSIG(answer->status));
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		const char *said = texts[i] ? texts[i] : "";
		char line[QUOTE_LIMIT];
		size_t length;

		said += strspn(said, " \t\r\n");
		length = strcspn(said, "\r\n");
		if (!length || (secret && strstr(said, secret)))
			continue;
		length = length < sizeof(line) ? length : sizeof(line) - 1;
		for (size_t j = 0; j < length; j++)
			line[j] = isprint((unsigned char)said[j]) ? said[j] : '?';
		line[length] = '\0';
		return fail(err, ANNEX_ERROR_SYSTEM, "%s failed: %s", program, line);
	}
	return fail(err, ANNEX_ERROR_SYSTEM, "%s failed with status %d", program, WEXITSTATUS(answer->status));
}

static int program_of(char **ret, const char *name, struct annex_error **err)
{
	if (asprintf(ret, "docker-credential-%s", name) >= 0)
		return 0;
	*ret = NULL;
	return fail_memory(err);
}

struct login {
	char *username, *secret;
};
static const struct json_row login_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "Username", struct login, username, true),
	JSON_ROW(JSON_ROW_TEXT, "Secret", struct login, secret, true),
};

static void login_clear(struct login *login)
{
	credential_clear(&(struct credential){login->username, login->secret, NULL});
}

/* The parser's own words would quote the answer. */
static int decode(struct credential *ret, const char *program, const struct text *said, struct annex_error **err)
{
	auto_json json_t *object = json_loadb(said->data ? said->data : "", said->size, 0, NULL);
	CLEANUP(login_clear) struct login login = {0};

	if (!object)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: its answer is not JSON", program);
	if (json_decode(&login, object, login_rows, COUNT_OF(login_rows), program, err) < 0)
		return -1;
	if (!*login.username && !*login.secret)
		return 0;
	if (strcmp(login.username, token_user) == 0) {
		ret->identity_token = TAKE(login.secret);
		return 0;
	}
	ret->username = TAKE(login.username);
	ret->password = TAKE(login.secret);
	return 0;
}

int helper_get(struct credential *ret, const char *name, const char *server, const struct credential_wait *wait,
	       struct annex_error **err)
{
	auto_answer struct answer answer = {0};
	auto_free char *program = NULL;

	*ret = (struct credential){0};
	if (program_of(&program, name, err) < 0 || run(&answer, program, "get", server, wait, err) < 0)
		return -1;
	if (has_none(&answer))
		return 0;
	return succeeded(&answer) ? decode(ret, program, &answer.out, err) : failed(&answer, program, NULL, err);
}

int helper_store(const char *name, const char *server, const struct credential *credential, struct annex_error **err)
{
	const char *username = credential->identity_token ? token_user : credential->username;
	const char *secret = credential->identity_token ? credential->identity_token : credential->password;
	auto_json json_t *object =
		json_pack("{s:s, s:s, s:s}", "ServerURL", server, "Username", username, "Secret", secret);
	auto_free char *program = NULL;
	auto_secret char *request = NULL;
	auto_answer struct answer answer = {0};

	if (!object)
		return fail(err, ANNEX_ERROR_USAGE, "user name and password must be UTF-8 to be kept by a helper");
	request = json_text(object, false);
	if (!request)
		return fail_memory(err);
	if (program_of(&program, name, err) < 0 || run(&answer, program, "store", request, NULL, err) < 0)
		return -1;
	return succeeded(&answer) ? 0 : failed(&answer, program, secret, err);
}

int helper_erase(const char *name, const char *server, struct annex_error **err)
{
	auto_answer struct answer answer = {0};
	auto_free char *program = NULL;

	if (program_of(&program, name, err) < 0 || run(&answer, program, "erase", server, NULL, err) < 0)
		return -1;
	return succeeded(&answer) || has_none(&answer) ? 0 : failed(&answer, program, NULL, err);
}
