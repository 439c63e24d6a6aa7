#include "guest/inside.h"

#include "base/file.h"
#include "guest/report.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* The answer: one byte, 0 for success with the output behind it, 1 for an error with its report behind it. */
_Noreturn static void child(int fd, const char *root, inside_fn *fn, void *data)
{
	auto_text struct text answer = {0};
	struct annex_error *err = NULL;
	struct report report;
	int result;

	text_add_char(&answer, 0);
	if (chroot(root) < 0 || chdir("/") < 0)
		result = fail_os(&err, errno, "cannot enter %s", root);
	else
		result = fn(data, &answer, &err);
	if (result == 0 && (!text_ok(&answer) || answer.size > INSIDE_OUTPUT_MAX))
		result = fail_memory(&err);
	if (result < 0) {
		text_clear(&answer);
		report_from_error(&report, err);
		text_add_char(&answer, 1);
		text_add_bytes(&answer, &report, sizeof(report));
	}
	_exit(text_ok(&answer) && file_write_all(fd, answer.data, answer.size) == 0 ? 0 : 1);
}

int inside_run(char **ret_out, const char *root, inside_fn *fn, void *data, struct annex_error **err)
{
	auto_close int reader = -1, writer = -1;
	auto_text struct text answer = {0};
	struct report report;
	char chunk[4096];
	int pipes[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot make a pipe");
	reader = pipes[0];
	writer = pipes[1];
	pid = fork();
	if (pid < 0)
		return fail_os(err, errno, "cannot fork");
	if (pid == 0)
		child(writer, root, fn, data);
	cleanup_close(&writer);
	writer = -1;
	while ((n = file_read_full(reader, chunk, sizeof(chunk))) > 0)
		text_add_bytes(&answer, chunk, (size_t)n);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (!text_ok(&answer))
		return fail_memory(err);
	if (answer.size == 0)
		return fail(err, ANNEX_ERROR_GUEST, "a helper process ended early");
	if (answer.data[0] == 0) {
		if (!ret_out)
			return 0;
		*ret_out = strdup(answer.data + 1);
		return *ret_out ? 0 : fail_memory(err);
	}
	if (answer.size != 1 + sizeof(report))
		return fail(err, ANNEX_ERROR_GUEST, "a helper process ended early");
	memcpy(&report, answer.data + 1, sizeof(report));
	return report_to_error(&report, err);
}
