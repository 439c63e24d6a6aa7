#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The device's name ("vda") of the disk that the host calls root. NOT_FOUND after the timeout. */
#define DISK_NAME_LIMIT 64
MUST_USE int disk_find(char ret[DISK_NAME_LIMIT], int uevents, uint64_t timeout_ms, struct annex_error **err);
/* Mount it on MOUNT_DISK and let its file system grow to the device's size. */
MUST_USE int disk_mount(const char *name, struct annex_error **err);
/* The device of the machine's disk, for reading; a descriptor or -1. */
MUST_USE int disk_open(struct annex_error **err);
/* Once the device has at least this size, let the mounted file system fill it. *ret: its size. Blocks. */
MUST_USE int disk_fill(uint64_t *ret, uint64_t wanted, uint64_t timeout_ms, struct annex_error **err);
/* Write everything. */
void disk_sync(void);
/* The same, and unmount; what keeps it busy gets a moment to go. False: it could only be made read-only or
 * synced. */
bool disk_unmount(void);

/* From the first 1024 bytes of an ext4 superblock; false when it is none. */
#define DISK_SUPERBLOCK_SIZE 1024
bool disk_parse_superblock(uint64_t *ret_blocks, uint32_t *ret_block_size,
			   const uint8_t superblock[DISK_SUPERBLOCK_SIZE]);
