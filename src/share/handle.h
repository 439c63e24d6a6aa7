#pragma once
#include "share/inode.h"

#include <pthread.h>

/* Files and folders that the guest has open. */
#define HANDLES_LIMIT 1000000
#define READERS_LIMIT 512 /* folders of which something was read ahead */
#define HANDLE_SHARDS 16  /* a power of two */

struct handle {
	struct table_entry by_id;
	uint64_t id;
	_Atomic(unsigned) refs;
	struct inode *inode;          /* a reference */
	_Atomic(int) fd;              /* -EBADF: of the root folder, or closed to make room; see handle_open() */
	int flags;                    /* it was opened with */
	_Atomic(bool) locked;         /* by flock(): the lock is the descriptor's */
	_Atomic(bool) used;           /* since it was looked at last whether to close it */
	struct handle *newer, *older; /* shard: among those whose descriptor may be closed */
	bool listed;                  /* shard */
	struct handles *handles;
	struct reader *reader; /* of a folder; see folder.c */
	bool keeps_reader;     /* is counted among READERS_LIMIT */
	pthread_mutex_t lock;  /* of the reader */
};

struct handles;

/* `descriptors`: how many of them files may hold, as a rule. */
MUST_USE int handles_new(struct handles **ret, unsigned descriptors, struct annex_error **err);
void handles_free(struct handles *handles);
void handles_close_all(struct handles *handles);
/* Lets go of the host's files of a share that was removed; the guest's handles stay. */
void handles_close_share(struct handles *handles, const struct share *share);

/* Takes the descriptor when it succeeds; -ENFILE, -ENOMEM, -ESTALE. `flags`: it was opened with, and O_APPEND, or
 * O_DIRECTORY. */
MUST_USE int handle_add(uint64_t *ret_id, struct handles *handles, struct inode *inode, int fd, int flags);
/* A reference, or NULL: there is none of this inode. */
struct handle *handle_get(struct handles *handles, uint64_t id, const struct inode *inode);
void handle_put(struct handle *handle); /* NULL is allowed */
/* Its descriptor, opened anew if it was closed to make room; there as long as the caller's reference. -errno: -ESTALE
 * when the host has no longer what it was. */
MUST_USE int handle_open(struct handle *handle);
/* With the handle's lock: whether it may keep its reader for the next call; and frees it. */
bool handle_may_keep_reader(struct handle *handle);
void handle_drop_reader(struct handle *handle);
/* Takes it out of the table; the caller gets the table's reference. */
struct handle *handle_release(struct handles *handles, uint64_t id, const struct inode *inode);
static inline void cleanup_handle(struct handle **handle)
{
	handle_put(*handle);
}
#define auto_handle CLEANUP(cleanup_handle)
