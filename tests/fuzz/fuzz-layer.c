/* Applies the bytes as a plain layer, twice, so that the second time meets what the first has made; then the file
 * system is written if the layer is good. */
#include "base/digest.h"
#include "base/file.h"
#include "rootfs/rootfs.h"

#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int make_file(const uint8_t *data, size_t size)
{
	auto_close int fd = memfd_create("layer", MFD_CLOEXEC);

	if (fd < 0 || file_write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return TAKE_FD(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_close int first = make_file(data, size), second = make_file(data, size);
	auto_close int disk = make_file(NULL, 0), first_index = make_file(NULL, 0), second_index = make_file(NULL, 0);
	auto_error struct annex_error *error = NULL;
	char digest[DIGEST_TEXT];
	struct rootfs_layer layers[2];
	uint64_t built = 0;

	digest_of(digest, data, size);
	layers[0] = (struct rootfs_layer){
		.fd = first, .index = first_index, .digest = digest, .size = size, .diff_id = digest};
	layers[1] = layers[0];
	layers[1].fd = second;
	layers[1].index = second_index;
	if (rootfs_build(disk, layers, COUNT_OF(layers), NULL, &built, &error) == 0 && built == 0)
		abort();
	return 0;
}
