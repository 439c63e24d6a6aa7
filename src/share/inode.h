#pragma once
#include "base/cleanup.h"
#include "base/error.h"

#include "share/root.h"
#include "share/table.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#define INODE_ROOT   1  /* the id of the root folder, which is in no table */
#define INODE_SHARDS 64 /* a power of two */
/* That a guest may know at once: one that forgets none must not have all of the host's memory. Linux has more than a
 * KiB of its own for each. */
#define INODES_LIMIT (4u << 20)

/* What makes an object of the host the one that it was. `born` is 0 where the file system doesn't know. */
struct inode_key {
	uint64_t dev, ino, born;
};

struct inode_shard;
/* Who of the guest holds POSIX locks on a file: an open file of its own for each. */
struct lock_owner {
	struct lock_owner *next;
	uint64_t owner;
	uint64_t handle; /* by which it locked first */
	uint32_t pid;    /* the guest's */
	int fd;
};

/* An object that the guest knows. What is marked so belongs to the shard's lock. */
struct inode {
	struct table_entry by_id;    /* shard */
	struct table_entry by_key;   /* shard */
	struct inode *newer, *older; /* shard: among those that have an idle descriptor */
	struct inode_shard *shard;   /* NULL: the root folder */
	uint64_t id;
	struct share *share; /* NULL: the root folder */
	struct inode_key key;
	mode_t type; /* of the host's object */
	bool top;    /* of its share */
	_Atomic(const struct mask *) mask;
	_Atomic(uint64_t) checked;         /* masks_hidden() when it lay in nothing hidden */
	_Atomic(unsigned) refs;            /* of calls, handles and children; the last goes under the shard's lock */
	uint64_t lookups;                  /* shard: the guest's */
	int fd;                            /* shard: O_PATH, or negative */
	unsigned pins;                     /* shard: who uses `fd` */
	bool kept;                         /* shard: `fd` is the only way to it */
	bool idle;                         /* shard: among newer and older */
	struct inode *parent;              /* shard: where it was seen last, with `name`; a reference */
	char *name;                        /* shard */
	_Atomic(bool) may_have_privileges; /* set-user-id and the like, as far as is known */
	_Atomic(int64_t) plain_ns;         /* time of the last change after which there was no record of its owner */
	_Atomic(uint64_t) version;         /* of the contents, as the guest knows them */
	_Atomic(unsigned) searched;        /* a folder: lookups of single names since it was opened last */
	struct lock_owner *lock_owners;    /* shard */
};

struct inodes;

/* `base` is in the high bits of all ids that are given; `descriptors`: how many of them inodes may hold, as a rule. */
MUST_USE int inodes_new(struct inodes **ret, uint64_t base, unsigned descriptors, struct annex_error **err);
void inodes_free(struct inodes *inodes); /* nothing may be in use any more */
/* The guest starts anew. */
void inodes_forget_all(struct inodes *inodes);
/* The number that the guest shows for it: the host's, told apart by device. */
uint64_t inodes_number(struct inodes *inodes, uint64_t dev, uint64_t ino);

/* A reference, or NULL. */
struct inode *inode_get(struct inodes *inodes, uint64_t id);
struct inode *inode_ref(struct inode *inode);
void inode_put(struct inode *inode); /* NULL is allowed */
static inline void cleanup_inode(struct inode **inode)
{
	inode_put(*inode);
}
#define auto_inode CLEANUP(cleanup_inode)
/* What it means that there is no inode with this id: -ESTALE; or -EXDEV, as another server gave it. */
int inode_missing(const struct inodes *inodes, uint64_t id);
void inode_forget(struct inodes *inodes, uint64_t id, uint64_t lookups);

struct inode_seen {
	struct share *share;
	struct inode *parent; /* NULL: the root folder, or none (with a descriptor) */
	const char *name;
	const struct statx *stx;
	const struct mask *mask;
	int fd;           /* O_PATH, is taken; or -EBADF */
	unsigned lookups; /* to count */
};
/* Finds or makes the inode of what was seen. -errno. */
MUST_USE int inode_enter(struct inode **ret, struct inodes *inodes, struct inode_seen *seen);
/* The inode of what was seen, if the guest knows it; NULL if not. */
struct inode *inode_known(struct inodes *inodes, const struct share *share, const struct statx *stx);
/* Its name was changed by the guest. */
void inode_moved(struct inode *inode, struct inode *parent, const char *name);
#define INODE_STATX (STATX_BASIC_STATS | STATX_BTIME)
/* What the share's masks say of what was seen, whatever its name. */
const struct mask *inode_mask(const struct share *share, const struct statx *stx);
/* -ESTALE when it is shared no longer: its share was removed, or it became masked, or lies in what is. */
int inode_check(struct inode *inode);
bool inode_is(const struct inode *inode, const struct statx *stx);
/* The folder (a reference, or NULL) and the name where it was seen last. */
void inode_place(struct inode *inode, struct inode **ret_parent, char ret_name[NAME_MAX + 1]);
/* For what is marked as the shard's. */
void inode_lock_shard(struct inode *inode);
void inode_unlock_shard(struct inode *inode);
