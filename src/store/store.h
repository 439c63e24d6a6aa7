#pragma once
#include "base/error.h"

#include <stddef.h>

/*
 * Where imported images are. Beneath one folder:
 *
 *   records/HEX.json     one per image; HEX is the digest of its configuration (store/catalog.h)
 *   blobs/sha256/HEX     manifests and configurations, as they came (store/catalog.h)
 *   bases/KEY.ext4       base disks, read-only, complete since they appear by rename (store/base.h)
 *   bases/KEY.layers/HEX indexes of its layers; HEX is a diff id (store/base-donor.h)
 *   bases/KEY.part       a base disk that is being made, or was when its maker was interrupted (store/base-draft.h)
 *   bases/KEY.lock       held shared by who needs the disk to stay, exclusively by who makes or removes it
 *   tmp/PID-START-…      one per process that has something half-made; removed when its process is gone
 *   lock                 held by who changes records, blobs or the set of bases
 *
 * Whoever holds a base may wait for `lock`; whoever has `lock` never waits for a base.
 */
struct store {
	char *path;
	int dir;
	int records;
	int blobs;
	int bases;
	char *temporary; /* this process's, or NULL */
	int temporary_lock;
};

/* The folders are made, and what dead processes left in tmp is removed. */
MUST_USE int store_open(struct store **ret, const char *path, struct annex_error **err);
void store_free(struct store *store);
static inline void cleanup_store(struct store **store)
{
	store_free(*store);
}
#define auto_store CLEANUP(cleanup_store)

/* This process's private folder on the store's file system: made when it is first asked for, removed by store_free();
 * owned by the store. */
MUST_USE int store_temporary_folder(const char **ret, struct store *store, struct annex_error **err);
/* Wait for `lock`; closing the descriptor lets go. */
MUST_USE int store_lock(int *ret_fd, struct store *store, struct annex_error **err);

/* Calls fn with each name in a folder until it returns non-zero, and returns that; -errno when it can't be read. */
MUST_USE int store_each_name(int dir, int (*fn)(const char *name, void *data), void *data);
