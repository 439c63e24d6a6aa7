#include "cli/ask.h"

#include "base/text.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool ask_can(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool ask_yes(void)
{
	char answer[64];

	fputs(" [y/N] ", stderr);
	fflush(stderr);
	if (!fgets(answer, sizeof(answer), stdin)) {
		fputc('\n', stderr);
		return false;
	}
	return answer[0] == 'y' || answer[0] == 'Y';
}

/* Wait until a line is there. The signals that interrupt come only here, so that none is missed. */
static int wait_for_line(struct annex_error **err)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	sigset_t held, before;
	int result = 0;

	sigemptyset(&held);
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		sigaddset(&held, numbers[i]);
	sigprocmask(SIG_BLOCK, &held, &before);
	while (result == 0 && !interrupt_signal()) {
		result = ppoll(&input, 1, NULL, &before);
		if (result < 0 && errno == EINTR)
			result = 0;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (interrupt_signal())
		return fail(err, ANNEX_ERROR_CANCELLED, "interrupted");
	return result < 0 ? fail_os(err, errno, "cannot wait for an answer") : 0;
}

static int read_line(char **ret, struct annex_error **err)
{
	char line[ASK_LIMIT];
	ssize_t size;
	int result = wait_for_line(err);

	if (result < 0)
		return -1;
	size = read(STDIN_FILENO, line, sizeof(line));
	if (size < 0)
		return fail_os(err, errno, "cannot read the answer");
	if (size > 0 && line[size - 1] == '\n')
		size--;
	else if (size == 0)
		result = fail(err, ANNEX_ERROR_USAGE, "there was no answer");
	if (result == 0) {
		*ret = strndup(line, (size_t)size);
		result = *ret ? 0 : fail_memory(err);
	}
	explicit_bzero(line, sizeof(line));
	return result;
}

int ask_line(char **ret, const char *question, bool hidden, struct annex_error **err)
{
	int result;

	if (hidden && terminal_make_silent(err) < 0)
		return -1;
	fputs(question, stderr);
	fflush(stderr);
	result = read_line(ret, err);
	if (result < 0)
		fputc('\n', stderr);
	if (hidden)
		terminal_restore();
	return result;
}
