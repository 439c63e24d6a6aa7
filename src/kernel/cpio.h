#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stddef.h>
#include <sys/stat.h>

/* Writes a cpio archive in the "newc" format that the kernel unpacks an initramfs from
 * (Documentation/driver-api/early-userspace/ buffer-format.rst). Deterministic: times are 0, owners root. */
struct cpio {
	struct text bytes;
	unsigned inode;
};

void cpio_folder(struct cpio *cpio, const char *path, mode_t mode);
void cpio_file(struct cpio *cpio, const char *path, mode_t mode, const void *bytes, size_t size);
void cpio_device(struct cpio *cpio, const char *path, mode_t mode, unsigned major,
		 unsigned minor); /* mode with S_IFCHR… */
/* Ends the archive. Memory that ran out, or a file of 4 GiB, shows here: -1 with an error. The bytes stay with the
 * cpio. */
MUST_USE int cpio_finish(struct cpio *cpio, struct annex_error **err);
void cpio_clear(struct cpio *cpio);
#define auto_cpio CLEANUP(cpio_clear)
