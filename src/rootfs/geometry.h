#pragma once
#include <stdint.h>

/* How large the file system gets, from what has to go into it. */
struct geometry_need {
	uint64_t first_free; /* block behind the contents of files */
	uint64_t metadata;   /* blocks of folders, long links, attributes and extent trees, at most */
	uint32_t inodes;     /* without the reserved ones */
};

struct geometry {
	uint32_t groups;
	uint32_t inodes_per_group;
};

enum {
	GEOMETRY_INODE_SIZE = 256,
	GEOMETRY_INODES = 8192,       /* per group: one for 16 KiB, as mke2fs has it */
	GEOMETRY_MOST_INODES = 32768, /* per group: bits of a block */
	GEOMETRY_RESERVED_INODES = 11,
	GEOMETRY_JOURNAL = 16384, /* blocks: 64 MiB, for the size that the disk is grown to */
	GEOMETRY_SLACK = 65536,   /* free blocks: 256 MiB */
	GEOMETRY_ROOMY = 64       /* groups (8 GiB) up to which inodes come by more groups, beyond by larger tables */
};

/* Blocks of one group's inode table. */
uint32_t geometry_table(const struct geometry *geometry);
struct geometry geometry_for(const struct geometry_need *need);
