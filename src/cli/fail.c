#include "cli/fail.h"

#include "cli/printable.h"
#include "cli/progress.h"

#include <stdio.h>

int fail_exit_status(const struct annex_error *err)
{
	switch (annex_error_kind(err)) {
	case ANNEX_ERROR_USAGE:
		return FAIL_STATUS_USAGE;
	case ANNEX_ERROR_NOT_FOUND:
		return FAIL_STATUS_NOT_FOUND;
	case ANNEX_ERROR_EXISTS:
	case ANNEX_ERROR_BUSY:
		return FAIL_STATUS_CONFLICT;
	default:
		return FAIL_STATUS_FAILED;
	}
}

/* Messages quote what images and guests sent: nothing of it may control the terminal. */
static void print_line(const char *prefix, const char *text)
{
	auto_text struct text line = {0};

	printable_add(&line, text);
	fprintf(stderr, "%s%s\n", prefix, text_ok(&line) && line.data ? line.data : "out of memory");
}

void fail_print(struct progress *progress, const struct annex_error *err)
{
	const char *hint = annex_error_hint(err);

	if (progress)
		progress_clear(progress);
	print_line("annex: ", annex_error_message(err));
	if (hint)
		print_line("hint: ", hint);
	fflush(stderr);
}
