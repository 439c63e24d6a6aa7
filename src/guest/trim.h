#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Which parts of an ext4 have ever been written: groups of blocks whose bitmap the file system has set up. */
struct trim_layout {
	uint64_t blocks;
	uint32_t block_size;
	uint32_t first_block;
	uint32_t group_blocks;
	uint32_t descriptor_size;
	uint64_t groups;
	uint64_t told; /* of these groups the descriptors stand in a row, behind the superblock's block */
};
/* `superblock` has the 1024 bytes of one. CORRUPT. */
MUST_USE int trim_parse(struct trim_layout *ret, const uint8_t *superblock, struct annex_error **err);
/* Does a descriptor say that its group was never used? */
bool trim_is_unused(const uint8_t *descriptor);

/* Give the free space of the machine's disk back to the host; *ret: bytes. Blocks, for minutes maybe. */
MUST_USE int trim_disk(uint64_t *ret, struct annex_error **err);
