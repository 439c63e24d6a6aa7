#pragma once
#include "annex/error.h"

struct progress;

/* The exit statuses of all commands but `run`. */
enum fail_status {
	FAIL_STATUS_FAILED = 1,
	FAIL_STATUS_USAGE = 2,
	FAIL_STATUS_NOT_FOUND = 3,
	FAIL_STATUS_CONFLICT = 4,
};

int fail_exit_status(const struct annex_error *err);

/* "annex: what was asked: what went wrong" and "hint: …" on standard error, after the progress line is out of the way
 * (progress may be NULL). */
void fail_print(struct progress *progress, const struct annex_error *err);
