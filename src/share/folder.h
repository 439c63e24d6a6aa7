#pragma once
#include "share/call.h"

/* FUSE_OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR: 0 or -errno. */
int folder_open(struct call *call);
int folder_read(struct call *call);
int folder_read_plus(struct call *call);
int folder_release(struct call *call);
int folder_sync(struct call *call);
