#pragma once
#include "share/call.h"

/* What is in files: FUSE_READ, WRITE, FSYNC, FALLOCATE, LSEEK, COPY_FILE_RANGE, IOCTL, SYNCFS: 0 or -errno. */
#define CONTENTS_COPY_LIMIT (1u << 30) /* bytes of one COPY_FILE_RANGE; the guest asks again for the rest */

int contents_read(struct call *call);
int contents_write(struct call *call);
int contents_sync(struct call *call);
int contents_allocate(struct call *call);
int contents_seek(struct call *call);
int contents_copy(struct call *call);
int contents_control(struct call *call);
int contents_sync_all(struct call *call);
