#pragma once
#include "base/error.h"

#include <stdint.h>

/* A machine's disk: a qcow2 file over the image's raw ext4 base. Formats are always named, never probed. qemu-img does
 * the writing: NOT_FOUND with a hint when it is not installed. All of these block. */

/* `path` must not exist (EXISTS). The base is recorded relative to the overlay's folder, so that the data folder can be
 * moved. USAGE: the size is below the base's. */
MUST_USE int overlay_create(const char *path, const char *base, uint64_t virtual_size, struct annex_error **err);

/* Size as the machine sees it, and bytes taken on the host. Reads the header only. CORRUPT: not a qcow2 file. */
MUST_USE int overlay_info(uint64_t *ret_virtual, uint64_t *ret_used, const char *path, struct annex_error **err);

/* USAGE: the size is below what the disk has. BUSY: a running machine has it. */
MUST_USE int overlay_grow(const char *path, uint64_t virtual_size, struct annex_error **err);

/* The path to `to` as seen from the folder `from`; both absolute and without "." and "..". NULL when memory ran out. */
char *overlay_relative(const char *from, const char *to);
