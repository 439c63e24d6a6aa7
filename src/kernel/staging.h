#pragma once
#include "base/error.h"
#include "kernel/record.h"

#include <stddef.h>

/*
 * A kernel that is being put together, in ROOT/.tmp-PID, and appears under its name by one rename. The lock on
 * ROOT/lock is held from begin to clear, so whatever else is called .tmp-… was left by a process that died.
 */
struct staging {
	char *root, *path; /* absolute */
	int lock, dir;
	struct kernel_record record;
};
#define STAGING_NONE                  \
	{                             \
		.lock = -1, .dir = -1 \
	}

/* Makes the root on demand, waits for the lock, removes leftovers. */
MUST_USE int staging_begin(struct staging *ret, const char *root, struct annex_error **err);
/* Removes what was not published. */
void staging_clear(struct staging *staging);
#define auto_staging CLEANUP(staging_clear)

/* Check a kernel file's bytes, write vmlinux (and vmlinuz), and fill in the record's release, image and pvh. */
MUST_USE int staging_add_image(struct staging *staging, const void *bytes, size_t size, struct annex_error **err);
/* Copy the modules of that release from a folder. */
MUST_USE int staging_copy_modules(struct staging *staging, const char *from, struct annex_error **err);
/* Complete the record, make all of it durable, and rename to ROOT/NAME: what was there with the same content stays,
 * with other content is replaced. The record's source must be set. */
MUST_USE int staging_publish(struct staging *staging, const char *name, struct annex_error **err);

/* The whole of a kernel file; a folder, a device or a file that is too large is USAGE, a missing one NOT_FOUND. */
MUST_USE int staging_read_file(char **ret, size_t *ret_size, const char *path, struct annex_error **err);
