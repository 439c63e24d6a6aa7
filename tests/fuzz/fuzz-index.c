/* Takes the bytes as a layer's index whose contents are on a disk already, and builds its file system. The checksum at
 * the end is put here, or hardly anything would get past it. */
#include "base/file.h"
#include "rootfs/rootfs.h"

#include <endian.h>
#include <sys/mman.h>
#include <zlib.h>

enum { DISK_SIZE = 1 << 28 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int disk = memfd_create("disk", MFD_CLOEXEC), index = memfd_create("index", MFD_CLOEXEC);
	uint32_t crc = htole32((uint32_t)crc32(0, data, (uInt)size));
	struct rootfs_layer layer = {.source = ROOTFS_KEEP, .digest = "sha256:", .diff_id = "sha256:", .index = index};
	auto_error struct annex_error *error = NULL;
	uint64_t built = 0;

	if (disk < 0 || index < 0 || ftruncate(disk, DISK_SIZE) < 0 || file_write_all(index, data, size) < 0 ||
	    file_write_all(index, &crc, sizeof(crc)) < 0)
		return 0;
	if (rootfs_build(disk, &layer, 1, NULL, &built, &error) == 0 && built == 0)
		abort();
	return 0;
}
