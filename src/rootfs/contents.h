#pragma once
#include "rootfs/index.h"

/* Writes the contents of one regular file in order; blocks of zeros become holes. Where they went is put to the index.
 */
struct contents {
	struct blocks_writer *blocks;
	struct index_writer *index;
	uint64_t position;
	unsigned char partial[BLOCKS_SIZE];
	uint32_t partial_size;
};

/* `offset` never lies before what was written already; what lies between reads as zeros. */
MUST_USE int contents_write(struct contents *contents, uint64_t offset, const void *bytes, size_t size,
			    struct annex_error **err);
MUST_USE int contents_finish(struct contents *contents, uint64_t size, struct annex_error **err);
/* Why blocks could not be had or written; -1. */
int contents_fail(int result, struct annex_error **err);
