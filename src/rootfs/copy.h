#pragma once
#include "rootfs/blocks.h"
#include "rootfs/stop.h"

/* Take a layer from another disk: its contents are copied to new blocks (shared, where the host's file system can) and
 * an index with the new places is written. */
MUST_USE int copy_layer(const struct rootfs_layer *layer, struct blocks *blocks, const struct stop *stop,
			struct annex_error **err);
