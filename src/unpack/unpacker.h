#pragma once
#include "rootfs/rootfs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A base disk built in a process of its own (annex-unpack), which is confined before it reads the first byte: no
 * network, no files but the descriptors it was given, no new programs. What it says is taken for a stranger's word.
 * It ends with the thread that started it, at the latest. Not for two threads at once.
 */
#define UNPACKER_ERRORS (64u << 10) /* bytes that are kept of its standard error */

struct unpacker;

/* program: path of annex-unpack. Descriptors in layers and disk are the caller's and may be closed after the start
 * (of pipes they must be, or the child never sees their end). Does not block. */
MUST_USE int unpacker_start(struct unpacker **ret, const char *program, int disk, const struct rootfs_layer *layers,
			    size_t count, struct annex_error **err);
/* Readable when unpacker_dispatch() has something to do. */
int unpacker_fd(const struct unpacker *unpacker);
/* Takes in what the process said, without blocking. *ret_ended: it ended, well. -1: it failed, with its own error, or
 * it died (SYSTEM; the message says by which signal), or it said what makes no sense (CORRUPT). What it had told before
 * counts, unless it is discredited. Then don't call it again. */
MUST_USE int unpacker_dispatch(struct unpacker *unpacker, bool *ret_ended, struct annex_error **err);
/* Bytes of blob `layer` taken in so far. */
uint64_t unpacker_done(const struct unpacker *unpacker, size_t layer);
/* The layer's index is complete (see rootfs_events.layer_done). */
bool unpacker_is_layer_done(const struct unpacker *unpacker, size_t layer);
/* It crashed, or said what makes no sense: somebody may have taken it over before, and nothing that it made counts. */
bool unpacker_is_discredited(const struct unpacker *unpacker);
bool unpacker_is_finishing(const struct unpacker *unpacker);
/* The disk's apparent size, once it ended well. */
uint64_t unpacker_size(const struct unpacker *unpacker);
/* Kills the process if it runs; waits for it. NULL is allowed. */
void unpacker_free(struct unpacker *unpacker);
static inline void cleanup_unpacker(struct unpacker **unpacker)
{
	unpacker_free(*unpacker);
}
#define auto_unpacker CLEANUP(cleanup_unpacker)
