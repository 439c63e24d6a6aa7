/* Builds an ext4 image from layers, for tests and benchmarks: rootfs-build OUT [FILE,DIGEST,DIFF_ID]…
 * An empty or missing digest or diff id of a plain layer is taken from the file. Prints the size, or "KIND: message".
 */
#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "rootfs/rootfs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct input {
	char digest[DIGEST_TEXT], diff_id[DIGEST_TEXT];
};

static void take_digest(char to[DIGEST_TEXT], const char *given, const char *file)
{
	if (given && *given)
		snprintf(to, DIGEST_TEXT, "%s", given);
	else if (digest_of_file(to, AT_FDCWD, file) < 0)
		*to = '\0';
}

static int open_layer(struct rootfs_layer *layer, struct input *input, char *argument)
{
	const char *file = strsep(&argument, ","), *digest = strsep(&argument, ","), *diff_id = strsep(&argument, ",");
	unsigned char magic[4] = {0};
	struct stat st;

	layer->fd = open(file, O_RDONLY | O_CLOEXEC);
	if (layer->fd < 0 || fstat(layer->fd, &st) < 0)
		return -1;
	if (pread(layer->fd, magic, sizeof(magic), 0) < 0)
		return -1;
	layer->compression = memcmp(magic, "\x1f\x8b", 2) == 0           ? ROOTFS_GZIP
			     : memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ? ROOTFS_ZSTD
									 : ROOTFS_PLAIN;
	take_digest(input->digest, digest, file);
	take_digest(input->diff_id, diff_id, file);
	layer->digest = input->digest;
	layer->diff_id = input->diff_id;
	layer->size = (uint64_t)st.st_size;
	return 0;
}

/* ROOTFS_BUILD_CANCEL=BYTES stops the build when so much of the blobs was read. */
static int check(const struct rootfs_report *report, void *data)
{
	const uint64_t *stop = data;

	return report->done >= *stop;
}

int main(int argc, char **argv)
{
	size_t count = argc > 2 ? (size_t)argc - 2 : 0;
	auto_free struct rootfs_layer *layers = calloc(count + 1, sizeof(*layers));
	auto_free struct input *inputs = calloc(count + 1, sizeof(*inputs));
	const char *cancel = getenv("ROOTFS_BUILD_CANCEL");
	auto_error struct annex_error *error = NULL;
	uint64_t size = 0, stop = UINT64_MAX;

	if (argc < 2 || !layers || !inputs || (cancel && text_to_u64(&stop, cancel, 10) < 0)) {
		fprintf(stderr, "usage: rootfs-build OUT [FILE,DIGEST,DIFF_ID]...\n");
		return 2;
	}
	for (size_t i = 0; i < count; i++) {
		if (open_layer(&layers[i], &inputs[i], argv[i + 2]) < 0) {
			perror(argv[i + 2]);
			return 2;
		}
	}
	if (rootfs_build(argv[1], layers, count, check, &stop, &size, &error) < 0) {
		fprintf(stderr, "%d: %s\n", (int)annex_error_kind(error), annex_error_message(error));
		return 1;
	}
	printf("%llu\n", (unsigned long long)size);
	for (size_t i = 0; i < count; i++)
		close(layers[i].fd);
	return 0;
}
