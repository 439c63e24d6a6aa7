#pragma once
#include "rootfs/rootfs.h"

/* Look through the indexes of the layers that are kept: *ret_first is the first block behind all their contents.
 * Everything else on the disk, which an interrupted build may have left, is made holes. CORRUPT: an index is damaged.
 */
MUST_USE int keep_layers(uint64_t *ret_first, int disk, const struct rootfs_layer *layers, size_t count,
			 struct annex_error **err);
