#pragma once
#include "lib/disk.h"
#include "lib/entry.h"

/* From an image's manifest to a record in the store that has its base disk. */
struct acquisition {
	struct disk_request disk; /* `key` is filled in */
	const char *name;         /* normalised */
	const char *root;         /* digest of what the name led to in the registry, or NULL */
};

/* Its base is held. The manifest's configuration is taken. Blocks, reports, can be cancelled. */
MUST_USE int acquire(struct image_entry *ret, struct acquisition *acquisition, struct annex_error **err);

/* The platform that a user asked for (NULL: the host's). USAGE; UNSUPPORTED when it is not Linux. */
MUST_USE int acquire_platform(struct platform *ret, const char *text, struct annex_error **err);

/* What every way to an image says when it failed: takes `why`, returns -1. */
int acquire_failed(struct annex_error **err, struct annex_error *why, struct annex_context *context, const char *what);
