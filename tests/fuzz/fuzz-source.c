#include "base/file.h"
#include "registry/source.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *folder(void)
{
	static char path[32];

	if (!*path) {
		strcpy(path, "/tmp/annex-fuzz-XXXXXX");
		assert(mkdtemp(path));
	}
	return path;
}

/* Also where the target is run by a fuzzer. */
static void __attribute__((destructor)) remove_folder(void)
{
	assert(file_remove_tree(AT_FDCWD, folder()) == 0);
}

static void open_layers(struct image_source *source, const struct image_manifest *manifest)
{
	assert(image_source_name(source));
	for (size_t i = 0; i < manifest->layer_count; i++) {
		auto_error struct annex_error *err = NULL;
		auto_close int fd = -EBADF;

		if (image_source_open_layer(&fd, source, manifest, i, &err) < 0)
			assert(err);
	}
}

/* An archive on standard input, as far as the layers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct platform amd64 = {.os = "linux", .architecture = "amd64"};
	auto_error struct annex_error *err = NULL;
	auto_image_source struct image_source *source = NULL;
	auto_image_manifest struct image_manifest manifest = {0};
	auto_close int fd = memfd_create("archive", MFD_CLOEXEC);
	const struct image_source_options options = {.input_fd = fd, .temporary_folder = folder()};

	if (fd < 0 || file_write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return 0;
	if (image_source_open(&source, "-", &options, &err) < 0 ||
	    image_source_manifest(&manifest, source, &amd64, &err) < 0)
		assert(err);
	else
		open_layers(source, &manifest);
	return 0;
}
