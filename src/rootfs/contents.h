#pragma once
#include "rootfs/tree.h"

/* Writes the contents of one regular file in order; blocks of zeros become holes. */
struct contents {
	struct tree *tree;
	struct blocks *blocks;
	struct tree_node *node;
	uint64_t position;
	uint64_t *written; /* bytes of blocks over the whole image, capped */
	unsigned char partial[BLOCKS_SIZE];
	uint32_t partial_size;
};

/* `offset` never lies before what was written already; what lies between reads as zeros. */
MUST_USE int contents_write(struct contents *contents, uint64_t offset, const void *bytes, size_t size,
			    struct annex_error **err);
MUST_USE int contents_finish(struct contents *contents, uint64_t size, struct annex_error **err);
