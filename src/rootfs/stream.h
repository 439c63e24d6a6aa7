#pragma once
#include "rootfs/rootfs.h"

/* The plain tar stream of one layer: read, hashed and decompressed by a thread of its own. */
struct stream;
MUST_USE int stream_open(struct stream **ret, const struct rootfs_layer *layer, struct annex_error **err);
/* The next piece, valid until the next call; 0 bytes at the end. CORRUPT, SYSTEM. */
MUST_USE int stream_read(struct stream *stream, const void **ret, size_t *ret_size, struct annex_error **err);
/* Read what is left, then check size, digest and diff id. */
MUST_USE int stream_finish(struct stream *stream, struct annex_error **err);
/* Bytes of the blob read so far. */
uint64_t stream_done(const struct stream *stream);
/* Stops the thread, also one that waits for a pipe. */
void stream_free(struct stream *stream);
static inline void cleanup_stream(struct stream **stream)
{
	stream_free(*stream);
}
#define auto_stream CLEANUP(cleanup_stream)
