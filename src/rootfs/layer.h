#pragma once
#include "rootfs/blocks.h"
#include "rootfs/stop.h"

enum {
	LAYER_HEADERS = 128 << 10, /* bytes of one entry's headers: names, attributes, access lists */
	LAYER_MAP = 8 << 20        /* the same with the map of a sparse file */
};

/* Decode and verify one layer: file contents go to the blocks, all else to the layer's index, which is complete when
 * this succeeds. *done: bytes of the blob taken in so far. */
MUST_USE int layer_decode(const struct rootfs_layer *layer, struct blocks *blocks, const struct stop *stop,
			  _Atomic uint64_t *done, struct annex_error **err);
