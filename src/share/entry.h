#pragma once
#include "share/call.h"

/* Looking names up, and how objects are described to the guest. */

/* Looks the name up in the folder, which is pinned at `fd`; counts a lookup of it. `ret_inode` may be NULL. -errno. */
MUST_USE int entry_find(struct call *call, struct inode *folder, int fd, const char *name,
			struct fuse_entry_out *ret_entry, struct inode **ret_inode);
/* The same for a share. */
MUST_USE int entry_find_share(struct call *call, struct share *share, struct fuse_entry_out *ret);
/* The same for a file that was just made and is open, with this name, or NULL for none. */
MUST_USE int entry_made(struct call *call, struct inode *folder, const char *name, int fd,
			struct fuse_entry_out *ret_entry, struct inode **ret_inode);
/* Takes the lookup back. */
void entry_forget(struct call *call, const struct fuse_entry_out *entry);

/* Gives what was just made to whom the guest says: `fd` is its O_PATH descriptor, `mode` the guest's with the type. */
MUST_USE int entry_own(struct call *call, int folder, int fd, uint32_t mode, uint32_t device);

/* What the guest is to know of it. */
void entry_describe(struct call *call, struct inode *inode, const struct spot *spot, const struct statx *stx,
		    struct fuse_attr *ret);
/* The same, where it is known to have no record of its owner. */
void entry_describe_plain(struct call *call, struct inode *inode, const struct statx *stx, struct fuse_attr *ret);
/* Whether that is known; only of what changed a while ago. */
bool entry_is_plain(const struct inode *inode, const struct statx *stx);
/* Whether a file's time is long enough ago for whatever changes it now to give it another one. */
bool entry_has_settled(int64_t time_ns);
/* Whether the guest may keep what it has of the contents of what it opens, `fd`: nothing has changed since the last
 * time that it was opened, or it would not be seen, by the share's choice. */
bool entry_is_unchanged(struct inode *inode, int fd);
/* For how long the guest may believe them. */
void entry_validity(const struct inode *inode, uint64_t *ret_s, uint32_t *ret_ns);

int entry_lookup(struct call *call); /* FUSE_LOOKUP */
