#pragma once
#include "share/call.h"

/* FUSE_SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR: 0 or -errno. */
#define XATTR_VALUE_LIMIT 65536 /* bytes, of a value or of a list of names */

int xattr_set(struct call *call);
int xattr_get(struct call *call);
int xattr_list(struct call *call);
int xattr_remove(struct call *call);
