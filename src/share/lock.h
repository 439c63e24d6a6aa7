#pragma once
#include "share/call.h"

/* POSIX locks of one file that the guest may hold, by owners: open files of the host. */
#define LOCK_OWNERS_LIMIT 1024

/* FUSE_GETLK; SETLK and SETLKW: 0 or -errno. -EAGAIN where another's lock is in the way. */
int lock_get(struct call *call);
int lock_set(struct call *call);
/* This owner's locks of the file end. */
void lock_drop(struct inode *inode, uint64_t owner);
/* So do those of who locked by this handle, which the guest's last descriptor of it was closed of. */
void lock_drop_handle(struct inode *inode, uint64_t handle);
