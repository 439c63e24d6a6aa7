#pragma once
#include "rootfs/rootfs.h"
#include "rootfs/tree.h"

/* Called for every piece, and while waiting for one, with the bytes of the blob that were read; non-zero cancels. */
struct layer_progress {
	int (*check)(uint64_t done, void *data);
	void *data;
};

/* Apply one layer to the tree; file contents go to the blocks at once and are added to *written. */
MUST_USE int layer_apply(struct tree *tree, struct blocks *blocks, const struct rootfs_layer *layer,
			 const struct layer_progress *progress, uint64_t *written, struct annex_error **err);
