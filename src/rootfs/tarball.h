#pragma once
#include "rootfs/rootfs.h"

#include <stdbool.h>

/* The plain tar stream of one layer: read, hashed and decompressed by a thread of its own. */
struct tarball;
MUST_USE int tarball_open(struct tarball **ret, const struct rootfs_layer *layer, struct annex_error **err);
/* Wait for the next piece, the end or an error; false when the time was up first. */
bool tarball_wait(struct tarball *tarball, unsigned timeout_ms);
/* The next piece, valid until the next call; 0 bytes at the end. CORRUPT, SYSTEM. */
MUST_USE int tarball_read(struct tarball *tarball, const void **ret, size_t *ret_size, struct annex_error **err);
/* Read what is left, then check size, digest and diff id. */
MUST_USE int tarball_finish(struct tarball *tarball, struct annex_error **err);
/* Bytes of the blob read so far. */
uint64_t tarball_done(const struct tarball *tarball);
/* Stops the thread, also one that waits for a pipe. */
void tarball_free(struct tarball *tarball);
static inline void cleanup_tarball(struct tarball **tarball)
{
	tarball_free(*tarball);
}
#define auto_tarball CLEANUP(cleanup_tarball)
