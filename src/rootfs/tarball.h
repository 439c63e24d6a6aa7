#pragma once
#include "rootfs/rootfs.h"
#include "rootfs/stop.h"

/* The plain tar stream of one layer. A thread of its own reads and decompresses the blob; hashing the plain stream is
 * shared between that thread and the caller's. */
struct tarball;
/* *done: bytes of the blob read so far; it and `stop` are borrowed. */
MUST_USE int tarball_open(struct tarball **ret, const struct rootfs_layer *layer, const struct stop *stop,
			  _Atomic uint64_t *done, struct annex_error **err);
/* The next piece, valid until the next call; 0 bytes at the end. CORRUPT, SYSTEM, CANCELLED. */
MUST_USE int tarball_read(struct tarball *tarball, const void **ret, size_t *ret_size, struct annex_error **err);
/* Read what is left, then check size, digest and diff id. */
MUST_USE int tarball_finish(struct tarball *tarball, struct annex_error **err);
/* Ends the thread, also one that waits for a pipe. */
void tarball_free(struct tarball *tarball);
static inline void cleanup_tarball(struct tarball **tarball)
{
	tarball_free(*tarball);
}
#define auto_tarball CLEANUP(cleanup_tarball)
