/*
 * Builds an ext4 image from layers, for tests and benchmarks: rootfs-build OUT [FILE,DIGEST,DIFF_ID]…
 * An empty or missing digest or diff id of a plain layer is taken from the file. Prints the size, or "KIND: message".
 *
 * ROOTFS_BUILD_INDEXES=FOLDER keeps the indexes of the layers that are done there, by diff id. ROOTFS_BUILD_KEEP=1 goes
 * on with OUT and the layers that are in that folder. ROOTFS_BUILD_DONOR=IMAGE,FOLDER copies what that folder has from
 * that image. ROOTFS_BUILD_CANCEL=BYTES stops when so much of the blobs was read, ROOTFS_BUILD_CANCEL_LAYERS=COUNT when
 * so many layers are done. A build that fails removes OUT, unless indexes are kept. ROOTFS_BUILD_UNPACK=PROGRAM lets
 * annex-unpack build. ROOTFS_BUILD_NO_HOLES=1 does as if the host's file system could not make holes.
 */
#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "rootfs/rootfs.h"
#include "unpack/unpacker.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* In front of the C library's. */
int fallocate(int fd, int mode, off_t offset, off_t size)
{
	if ((mode & FALLOC_FL_PUNCH_HOLE) && getenv("ROOTFS_BUILD_NO_HOLES")) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

struct input {
	char digest[DIGEST_TEXT], diff_id[DIGEST_TEXT];
	char *done, *part; /* paths of the index */
};

struct run {
	struct rootfs_layer *layers;
	struct input *inputs;
	size_t count;
	const char *out, *indexes, *donor_image, *donor_indexes;
	bool keep;
	uint64_t stop_bytes, stop_layers, layers_done;
};

static void take_digest(char to[DIGEST_TEXT], const char *given, const char *file)
{
	if (given && *given)
		snprintf(to, DIGEST_TEXT, "%s", given);
	else if (digest_of_file(to, AT_FDCWD, file) < 0)
		*to = '\0';
}

/* A pipe can't be looked into: its layer is plain, and its size unknown, so more than will come. */
static int open_blob(struct rootfs_layer *layer, struct input *input, char *argument)
{
	const char *file = strsep(&argument, ","), *digest = strsep(&argument, ","), *diff_id = strsep(&argument, ",");
	unsigned char magic[4] = {0};
	struct stat st;

	layer->fd = open(file, O_RDONLY | O_CLOEXEC);
	if (layer->fd < 0 || fstat(layer->fd, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode) && pread(layer->fd, magic, sizeof(magic), 0) < 0)
		return -1;
	layer->compression = memcmp(magic, "\x1f\x8b", 2) == 0           ? ROOTFS_GZIP
			     : memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ? ROOTFS_ZSTD
									 : ROOTFS_PLAIN;
	take_digest(input->digest, digest, file);
	take_digest(input->diff_id, diff_id, file);
	layer->digest = input->digest;
	layer->diff_id = input->diff_id;
	layer->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : UINT64_MAX / 1024;
	return 0;
}

static int open_donor(const struct run *run, struct rootfs_layer *layer)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "%s/%s", run->donor_indexes, layer->diff_id) < 0)
		return -1;
	layer->donor_index = open(path, O_RDONLY | O_CLOEXEC);
	if (layer->donor_index < 0)
		return 0;
	layer->source = ROOTFS_COPY;
	layer->donor_disk = open(run->donor_image, O_RDONLY | O_CLOEXEC);
	return layer->donor_disk < 0 ? -1 : 0;
}

static int open_index(const struct run *run, struct rootfs_layer *layer, struct input *input)
{
	if (!run->indexes) {
		layer->index = memfd_create("index", MFD_CLOEXEC);
		return layer->index < 0 ? -1 : 0;
	}
	if (asprintf(&input->done, "%s/%s", run->indexes, layer->diff_id) < 0 ||
	    asprintf(&input->part, "%s.part", input->done) < 0)
		return -1;
	layer->index = run->keep ? open(input->done, O_RDONLY | O_CLOEXEC) : -1;
	if (layer->index >= 0) {
		layer->source = ROOTFS_KEEP;
		return 0;
	}
	layer->index = open(input->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return layer->index < 0 ? -1 : 0;
}

static int open_layer(const struct run *run, size_t i, char *argument)
{
	struct rootfs_layer *layer = &run->layers[i];

	if (open_blob(layer, &run->inputs[i], argument) < 0 || open_index(run, layer, &run->inputs[i]) < 0)
		return -1;
	return run->donor_image && layer->source == ROOTFS_DECODE ? open_donor(run, layer) : 0;
}

static int check(const uint64_t *done, size_t count, void *data)
{
	const struct run *run = data;
	uint64_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += done[i];
	return total >= run->stop_bytes || run->layers_done >= run->stop_layers;
}

static void on_layer_done(size_t i, void *data)
{
	struct run *run = data;

	run->layers_done++;
	if (run->inputs[i].part && rename(run->inputs[i].part, run->inputs[i].done) < 0)
		perror(run->inputs[i].done);
}

static int build_here(struct run *run, int disk, uint64_t *ret_size, struct annex_error **err)
{
	const struct rootfs_events events = {.progress = check, .layer_done = on_layer_done, .data = run};

	return rootfs_build(disk, run->layers, run->count, &events, ret_size, err);
}

/* What unpacker_dispatch() has found out becomes events, each once. */
static int tell_events(struct run *run, const struct unpacker *unpacker, bool *told)
{
	auto_free uint64_t *done = calloc(run->count + 1, sizeof(*done));

	for (size_t i = 0; done && i < run->count; i++) {
		done[i] = unpacker_done(unpacker, i);
		if (unpacker_is_layer_done(unpacker, i) && !told[i])
			on_layer_done(i, run);
		told[i] = unpacker_is_layer_done(unpacker, i);
	}
	return check(done, run->count, run);
}

static int build_there(struct run *run, const char *program, int disk, uint64_t *ret_size, struct annex_error **err)
{
	auto_free bool *told = calloc(run->count + 1, sizeof(*told));
	auto_unpacker struct unpacker *unpacker = NULL;
	bool ended = false;
	int result = unpacker_start(&unpacker, program, disk, run->layers, run->count, err);

	for (size_t i = 0; i < run->count; i++)
		close(run->layers[i].fd);
	while (result == 0 && !ended) {
		struct pollfd ready = {.fd = unpacker_fd(unpacker), .events = POLLIN};

		poll(&ready, 1, -1);
		result = unpacker_dispatch(unpacker, &ended, err);
		if (tell_events(run, unpacker, told) && result == 0 && !ended)
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
	}
	*ret_size = result == 0 ? unpacker_size(unpacker) : 0;
	return result;
}

static int build(struct run *run)
{
	const char *program = getenv("ROOTFS_BUILD_UNPACK");
	int flags = O_RDWR | O_CLOEXEC | (run->keep ? 0 : O_CREAT | O_EXCL);
	auto_close int disk = open(run->out, flags, 0600);
	auto_error struct annex_error *error = NULL;
	uint64_t size = 0;
	int result;

	if (disk < 0) {
		perror(run->out);
		return 2;
	}
	result = program ? build_there(run, program, disk, &size, &error) : build_here(run, disk, &size, &error);
	if (result < 0) {
		fprintf(stderr, "%d: %s\n", (int)annex_error_kind(error), annex_error_message(error));
		if (!run->indexes)
			unlink(run->out);
		return 1;
	}
	printf("%llu\n", (unsigned long long)size);
	return 0;
}

static int set_up(struct run *run)
{
	const char *cancel = getenv("ROOTFS_BUILD_CANCEL"), *layers = getenv("ROOTFS_BUILD_CANCEL_LAYERS");
	char *donor = getenv("ROOTFS_BUILD_DONOR");

	run->indexes = getenv("ROOTFS_BUILD_INDEXES");
	run->keep = getenv("ROOTFS_BUILD_KEEP") != NULL;
	if (donor) {
		run->donor_image = strsep(&donor, ",");
		run->donor_indexes = donor ? donor : "";
	}
	run->stop_bytes = run->stop_layers = UINT64_MAX;
	return (cancel && text_to_u64(&run->stop_bytes, cancel, 10) < 0) ||
			       (layers && text_to_u64(&run->stop_layers, layers, 10) < 0)
		       ? -1
		       : 0;
}

int main(int argc, char **argv)
{
	size_t count = argc > 2 ? (size_t)argc - 2 : 0;
	auto_free struct rootfs_layer *layers = calloc(count + 1, sizeof(*layers));
	auto_free struct input *inputs = calloc(count + 1, sizeof(*inputs));
	struct run run = {.layers = layers, .inputs = inputs, .count = count};
	int result;

	if (argc < 2 || !layers || !inputs || set_up(&run) < 0) {
		fprintf(stderr, "usage: rootfs-build OUT [FILE,DIGEST,DIFF_ID]...\n");
		return 2;
	}
	run.out = argv[1];
	for (size_t i = 0; i < count; i++) {
		if (open_layer(&run, i, argv[i + 2]) < 0) {
			perror(argv[i + 2]);
			return 2;
		}
	}
	result = build(&run);
	for (size_t i = 0; i < count; i++) {
		free(inputs[i].done);
		free(inputs[i].part);
	}
	return result;
}
