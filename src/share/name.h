#pragma once
#include "share/call.h"

/* FUSE_READLINK and what makes, moves and removes names in folders: 0 or -errno. */
int name_readlink(struct call *call);
int name_symlink(struct call *call);
int name_mknod(struct call *call);
int name_mkdir(struct call *call);
int name_unlink(struct call *call);
int name_rmdir(struct call *call);
int name_rename(struct call *call);
int name_rename2(struct call *call);
int name_link(struct call *call);
