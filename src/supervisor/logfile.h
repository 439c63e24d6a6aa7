#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A log of limited size in a machine's folder, which starts empty: what no longer fits is dropped behind a note.
 * Writing never fails for the caller: a full disk must not stop a machine.
 */
#define LOGFILE_BOOT_MAX       (2u << 20)
#define LOGFILE_SUPERVISOR_MAX (1u << 20)

struct logfile;

struct logfile_options {
	const char *path;
	uint64_t limit;
};

MUST_USE int logfile_open(struct logfile **ret, const struct logfile_options *options, struct annex_error **err);
void logfile_write(struct logfile *log, const void *bytes, size_t size); /* NULL is allowed */
/* Start empty again. */
void logfile_restart(struct logfile *log);
void logfile_close(struct logfile *log);
