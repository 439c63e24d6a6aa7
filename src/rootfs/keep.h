#pragma once
#include "rootfs/rootfs.h"

struct blocks;

/* Look through the indexes of the layers that are kept; *ret hands out the blocks that they leave. Everything else on
 * the disk, which an interrupted build may have left, is made holes. CORRUPT: an index is damaged. */
MUST_USE int keep_layers(struct blocks **ret, int disk, const struct rootfs_layer *layers, size_t count,
			 struct annex_error **err);
