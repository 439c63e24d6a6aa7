#pragma once
#include "share/call.h"

/* FUSE_GETATTR, FUSE_SETATTR, FUSE_STATFS: 0 or -errno. */
int attribute_get(struct call *call);
int attribute_set(struct call *call);
int attribute_statfs(struct call *call);

/* Takes set-user-id and set-group-id off, as writing does. */
MUST_USE int attribute_drop_privileges(struct call *call, struct inode *inode);
