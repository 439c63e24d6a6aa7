/*
 * Whole groups only. The base should be small, since a machine's disk can't be smaller, and its table size per group
 * stays when the disk is grown: an image of many small files first gets more groups, and only a really large one more
 * inodes per group.
 */
#include "rootfs/geometry.h"

#include "rootfs/blocks.h"

uint32_t geometry_table(const struct geometry *geometry)
{
	return geometry->inodes_per_group / (BLOCKS_SIZE / GEOMETRY_INODE_SIZE);
}

static uint64_t blocks_needed(const struct geometry *geometry, const struct geometry_need *need)
{
	uint64_t used = need->first_free + need->metadata + GEOMETRY_JOURNAL + GEOMETRY_SLACK;

	/* Every table may have to skip to the place behind a superblock, and every extra group may have one. */
	used += (uint64_t)geometry->groups * (geometry_table(geometry) + 2);
	for (uint64_t group = need->first_free / BLOCKS_PER_GROUP; group < geometry->groups; group++) {
		if (blocks_has_super(group))
			used += 1 + BLOCKS_DESCRIPTORS + geometry_table(geometry);
	}
	return used;
}

struct geometry geometry_for(const struct geometry_need *need)
{
	struct geometry made = {.groups = 1, .inodes_per_group = GEOMETRY_INODES};
	uint64_t inodes = GEOMETRY_RESERVED_INODES + (uint64_t)need->inodes + need->inodes / 8 + 1024;

	for (;;) {
		bool has_room = (uint64_t)made.groups * BLOCKS_PER_GROUP >= blocks_needed(&made, need);

		if (has_room && (uint64_t)made.groups * made.inodes_per_group >= inodes)
			return made;
		if (has_room && made.groups >= GEOMETRY_ROOMY && made.inodes_per_group < GEOMETRY_MOST_INODES)
			made.inodes_per_group *= 2;
		else
			made.groups++;
	}
}
