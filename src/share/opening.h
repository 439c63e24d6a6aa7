#pragma once
#include "share/call.h"

/* FUSE_OPEN, CREATE, TMPFILE, FLUSH, RELEASE: 0 or -errno. */
int opening_open(struct call *call);
int opening_create(struct call *call);
int opening_tmpfile(struct call *call);
int opening_flush(struct call *call);
int opening_release(struct call *call);
