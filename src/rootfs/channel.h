#pragma once
#include "base/error.h"

#include <ext2fs/ext2fs.h>

/* libext2fs's way to a file that is open already; the name is the descriptor's number. It borrows the descriptor and,
 * unlike libext2fs's own managers, neither closes nor syncs it. */
extern struct struct_io_manager *const channel_manager;
/* What was not written yet. -errno. */
MUST_USE int channel_flush(io_channel channel);
/* Why the first write that failed did: -errno; 0: none has. */
int channel_failure(io_channel channel);
