/*
 * The base disk of an image. While one process makes it, others that need the same wait for it. What is made is a draft
 * in the store, which survives us with the layers that are complete.
 *
 * Layers are taken from where they are cheapest: from the draft of an interrupted try, from another base, else as blobs
 * from the image's source. Blobs in files are handed to the unpacking process as they are; those of a registry flow
 * through pipes. One loop drives the downloads and listens to the unpacking process. A download that failed is the
 * cause of whatever the unpacking process has to say about the pipe that ended, so it is asked first.
 */
#include "lib/disk.h"

#include "base/log.h"
#include "lib/context.h"
#include "registry/download.h"
#include "rootfs/rootfs.h"
#include "store/base-donor.h"
#include "store/base-draft.h"
#include "unpack/unpacker.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
	STEP_MS = 100,      /* between two looks at cancellation, and two reports */
	FILES_OF_LAYER = 4, /* its index, and a pipe's ends or a donor's files */
	FILES_BESIDE = 64   /* counted as layers */
};

#define NOT_DOWNLOADED SIZE_MAX

static const char step[] = "disk";

/* What there is to a layer beside what the unpacking process is told. */
struct part {
	struct base_donor donor;
	bool is_second; /* repeats the diff id of a lower layer: its index is not kept */
	bool is_begun;  /* it was reported */
	bool is_told;   /* its end was, and it is kept */
	int pipe;       /* the end that a download writes to, or -EBADF */
	size_t blob;    /* which one of the download it is, or NOT_DOWNLOADED */
};

struct disk {
	const struct disk_request *request;
	struct base_draft *draft;
	struct rootfs_layer *layers;
	struct part *parts;
	size_t count;
	struct registry_download *download;
	struct unpacker *unpacker;
	bool reuses;      /* not all layers are decoded */
	bool discredited; /* the unpacking process is */
};

static int disk_begin(struct disk *disk, struct annex_error **err)
{
	size_t count = disk->request->manifest->layer_count;

	disk->layers = calloc(count, sizeof(*disk->layers));
	disk->parts = calloc(count, sizeof(*disk->parts));
	if (!disk->layers || !disk->parts)
		return fail_memory(err);
	disk->count = count;
	for (size_t i = 0; i < count; i++) {
		disk->layers[i] = (struct rootfs_layer){
			.fd = -EBADF, .index = -EBADF, .donor_index = -EBADF, .donor_disk = -EBADF};
		disk->parts[i] =
			(struct part){.donor = {.hold = -EBADF, .disk = -EBADF, .index = -EBADF}, .pipe = -EBADF};
	}
	if (base_draft_open(&disk->draft, disk->request->store, disk->request->key, err) < 0)
		return -1;
	return base_draft_set_title(disk->draft, disk->request->title, err);
}

/* The unpacking process has its own copies of what it reads; a pipe that we held too would never end. */
static void close_streams(struct disk *disk)
{
	for (size_t i = 0; i < disk->count; i++) {
		struct rootfs_layer *layer = &disk->layers[i];

		cleanup_close(&layer->fd);
		cleanup_close(&layer->index);
		cleanup_close(&disk->parts[i].pipe);
		layer->fd = layer->index = disk->parts[i].pipe = -EBADF;
	}
}

static void let_go(struct disk *disk)
{
	registry_download_free(TAKE(disk->download));
	unpacker_free(TAKE(disk->unpacker));
	close_streams(disk);
	for (size_t i = 0; i < disk->count; i++)
		base_donor_clear(&disk->parts[i].donor);
}

static void disk_end(struct disk *disk)
{
	let_go(disk);
	base_draft_free(disk->draft);
	free(disk->layers);
	free(disk->parts);
}

static bool repeats(const struct image_manifest *manifest, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (strcmp(manifest->layers[i].diff_id, manifest->layers[index].diff_id) == 0)
			return true;
	}
	return false;
}

static int open_pipe(struct disk *disk, size_t index, struct annex_error **err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot make a pipe");
	disk->layers[index].fd = fds[0];
	disk->parts[index].pipe = fds[1];
	return 0;
}

static int open_blob(struct disk *disk, size_t index, struct annex_error **err)
{
	const struct disk_request *request = disk->request;

	if (request->source)
		return image_source_open_layer(&disk->layers[index].fd, request->source, request->manifest, index, err);
	return open_pipe(disk, index, err);
}

static int open_layer(struct disk *disk, size_t index, bool reuse, struct annex_error **err)
{
	static const enum rootfs_compression same[] = {
		[MEDIA_PLAIN] = ROOTFS_PLAIN, [MEDIA_GZIP] = ROOTFS_GZIP, [MEDIA_ZSTD] = ROOTFS_ZSTD};
	const struct image_layer *from = &disk->request->manifest->layers[index];
	struct rootfs_layer *layer = &disk->layers[index];
	struct part *part = &disk->parts[index];
	bool is_complete = false;

	*layer = (struct rootfs_layer){.source = ROOTFS_DECODE,
				       .fd = -EBADF,
				       .compression = same[from->compression],
				       .digest = from->digest,
				       .size = from->size,
				       .diff_id = from->diff_id,
				       .index = -EBADF,
				       .donor_index = -EBADF,
				       .donor_disk = -EBADF};
	part->is_told = false;
	part->is_second = repeats(disk->request->manifest, index);
	if (part->is_second) {
		layer->index = memfd_create("index", MFD_CLOEXEC);
		return layer->index < 0 ? fail_os(err, errno, "cannot make a file in memory")
					: open_blob(disk, index, err);
	}
	if (base_draft_index(&layer->index, &is_complete, disk->draft, from->diff_id, err) < 0)
		return -1;
	if (is_complete) {
		layer->source = ROOTFS_KEEP;
		disk->reuses = true;
		return 0;
	}
	if (reuse && base_find_donor(&part->donor, disk->request->store, disk->request->key, from->diff_id, err) < 0)
		return -1;
	if (part->donor.disk < 0)
		return open_blob(disk, index, err);
	layer->source = ROOTFS_COPY;
	layer->donor_disk = part->donor.disk;
	layer->donor_index = part->donor.index;
	disk->reuses = true;
	return 0;
}

/* From the lowest layer on, which is the order in which they are unpacked. */
static int start_download(struct disk *disk, struct annex_error **err)
{
	const struct disk_request *request = disk->request;
	auto_free struct registry_blob *blobs = calloc(disk->count, sizeof(*blobs));
	size_t count = 0;

	if (!blobs)
		return fail_memory(err);
	for (size_t i = 0; i < disk->count; i++) {
		const struct image_layer *layer = &request->manifest->layers[i];

		disk->parts[i].blob = disk->parts[i].pipe < 0 ? NOT_DOWNLOADED : count;
		if (disk->parts[i].pipe < 0)
			continue;
		blobs[count++] = (struct registry_blob){.digest = layer->digest,
							.size = layer->size,
							.urls = (const char *const *)layer->urls.items,
							.data = layer->data,
							.fd = TAKE_FD(disk->parts[i].pipe)};
	}
	if (count == 0)
		return 0;
	return registry_download_start(&disk->download, request->client, request->reference, blobs, count, err);
}

static int start(struct disk *disk, bool reuse, struct annex_error **err)
{
	auto_free char *program = NULL;

	disk->reuses = false;
	for (size_t i = 0; i < disk->count; i++) {
		if (open_layer(disk, i, reuse, err) < 0)
			return -1;
	}
	if (context_helper(&program, disk->request->context, "annex-unpack", err) < 0 ||
	    unpacker_start(&disk->unpacker, program, base_draft_disk(disk->draft), disk->layers, disk->count, err) <
		    0 ||
	    start_download(disk, err) < 0)
		return -1;
	close_streams(disk);
	return 0;
}

static uint64_t bytes_done(const struct disk *disk, size_t index)
{
	uint64_t unpacked = unpacker_done(disk->unpacker, index), received = 0;

	if (disk->download && disk->parts[index].blob != NOT_DOWNLOADED)
		received = registry_download_done(disk->download, disk->parts[index].blob);
	return received > unpacked ? received : unpacked;
}

static const char *what_is_done(const struct disk *disk, size_t index, bool ended)
{
	switch (disk->layers[index].source) {
	case ROOTFS_KEEP:
		return "here already";
	case ROOTFS_COPY:
		return ended ? "copied" : "copying";
	case ROOTFS_DECODE:
		break;
	}
	return disk->request->client ? "downloading" : "unpacking";
}

static const char *what_goes_on(const struct disk *disk)
{
	const char *waiting = disk->download ? registry_download_waiting(disk->download) : NULL;

	if (unpacker_is_finishing(disk->unpacker))
		return "writing the file system";
	return waiting ? waiting : disk->request->text;
}

/* What is downloaded or unpacked starts with nothing, so that what comes then counts for the speed. */
static void report_layer(struct disk *disk, const struct context_item *item, uint64_t done, uint64_t total, bool ended)
{
	struct annex_context *context = disk->request->context;
	const char *text = what_is_done(disk, item->index, ended);
	bool *is_begun = &disk->parts[item->index].is_begun;

	if (!*is_begun && disk->layers[item->index].source == ROOTFS_DECODE)
		context_report_item(context, step, item, text, 0, total, false);
	*is_begun = true;
	context_report_item(context, step, item, text, done, total, ended);
}

/* Layers that are complete are kept, and all are reported. */
static int look(struct disk *disk, struct annex_error **err)
{
	const struct image_manifest *manifest = disk->request->manifest;
	struct annex_context *context = disk->request->context;
	uint64_t done = 0, total = 0;

	for (size_t i = 0; i < disk->count; i++) {
		struct context_item item = {manifest->layers[i].digest, (unsigned)i, (unsigned)disk->count};
		bool kept = disk->layers[i].source == ROOTFS_KEEP, told = disk->parts[i].is_told;
		bool ended = kept || unpacker_is_layer_done(disk->unpacker, i);
		uint64_t size = manifest->layers[i].size, part = ended ? size : bytes_done(disk, i);

		done += part;
		total += size;
		if (ended && !told) {
			disk->parts[i].is_told = true;
			if (!kept && !disk->parts[i].is_second &&
			    base_draft_keep(disk->draft, manifest->layers[i].diff_id, err) < 0)
				return -1;
		}
		if (!told && (part > 0 || ended))
			report_layer(disk, &item, part, size, ended);
	}
	context_report_item(context, step, &(struct context_item){NULL, 0, (unsigned)disk->count}, what_goes_on(disk),
			    done, total, false);
	return 0;
}

/* One turn of waiting. */
static int turn(struct disk *disk, bool *ret_ended, struct annex_error **err)
{
	struct pollfd fd = {.fd = unpacker_fd(disk->unpacker), .events = POLLIN};
	bool downloaded = false;

	if (disk->download) {
		if (registry_download_poll(disk->download, fd.fd, STEP_MS, &downloaded, err) < 0)
			return -1;
	} else if (poll(&fd, 1, STEP_MS) < 0 && errno != EINTR) {
		return fail_os(err, errno, "cannot wait for the unpacking process");
	}
	if (downloaded) {
		registry_download_free(disk->download);
		disk->download = NULL;
	}
	return unpacker_dispatch(disk->unpacker, ret_ended, err);
}

static int work(struct disk *disk, struct annex_error **err)
{
	auto_error struct annex_error *other = NULL;
	bool ended = false;
	int result = 0;

	while (result == 0 && !ended) {
		result = turn(disk, &ended, err);
		/* Also when it failed: what is complete is kept. */
		if (look(disk, result < 0 ? &other : err) < 0)
			result = -1;
		if (result == 0 && context_check_cancelled(disk->request->context, err) < 0)
			result = -1;
	}
	return result;
}

static bool all_are_in(const struct disk *disk)
{
	for (size_t i = 0; i < disk->count; i++) {
		if (!disk->parts[i].is_told)
			return false;
	}
	return true;
}

/* Layers that were to be copied, and were not. */
static void drop_damaged(struct disk *disk)
{
	for (size_t i = 0; i < disk->count; i++) {
		if (disk->layers[i].source == ROOTFS_COPY && !disk->parts[i].is_told)
			base_drop_index(disk->request->store, disk->parts[i].donor.key, disk->layers[i].diff_id);
	}
}

/* *ret_again: it failed because of what was reused, which may have been damaged since it was made. */
static int make_once(struct disk *disk, bool reuse, bool *ret_again, struct annex_error **err)
{
	auto_error struct annex_error *why = NULL;
	int result = start(disk, reuse, &why);
	bool damaged;

	if (result == 0)
		result = work(disk, &why);
	damaged = result < 0 && annex_error_errno(why) == ROOTFS_DAMAGED;
	if (damaged)
		drop_damaged(disk);
	/* When all layers are in, it is their whole that is wrong. */
	*ret_again = result < 0 && disk->reuses && annex_error_kind(why) == ANNEX_ERROR_CORRUPT &&
		     (damaged || all_are_in(disk));
	if (*ret_again)
		log_debug("%s; all layers are fetched", annex_error_message(why));
	disk->discredited = disk->unpacker && unpacker_is_discredited(disk->unpacker);
	let_go(disk);
	if (err)
		*err = TAKE(why);
	return result;
}

static int make(struct disk *disk, struct annex_error **err)
{
	auto_error struct annex_error *why = NULL;
	bool again = false;
	int result = make_once(disk, true, &again, &why);

	if (again) {
		annex_error_free(TAKE(why));
		result = base_draft_reset(disk->draft, &why);
		if (result == 0)
			result = make_once(disk, false, &again, &why);
	}
	if (result == 0)
		result = base_draft_publish(disk->draft, &why);
	if (result == 0)
		return 0;
	/* Somebody needs the room, or who made the layers can't be believed. */
	if ((annex_error_errno(why) == ENOSPC || annex_error_errno(why) == EDQUOT || disk->discredited) &&
	    base_draft_reset(disk->draft, NULL) < 0)
		fail_hint(&why, "annex image prune");
	if (annex_error_errno(why) == EMFILE)
		fail_hint(&why, "ulimit -n %zu", (disk->count + FILES_BESIDE) * FILES_OF_LAYER);
	if (err)
		*err = TAKE(why);
	return -1;
}

static int report_waiting(void *data)
{
	const struct disk_request *request = data;

	context_report(request->context, step, "waiting for another process that makes this disk", 0, 0, false);
	return context_is_cancelled(request->context);
}

/* The caller holds the base alone. */
static int make_base(const struct disk_request *request, struct annex_error **err)
{
	struct disk disk = {.request = request};
	int result = disk_begin(&disk, err);

	if (result == 0)
		result = make(&disk, err);
	disk_end(&disk);
	return result;
}

static int need(int *ret_hold, const struct disk_request *request, struct annex_error **err)
{
	for (;;) {
		auto_close int hold = -EBADF;

		if (base_hold(&hold, request->store, request->key, report_waiting, (void *)request, err) < 0)
			return -1;
		if (base_exists(request->store, request->key)) {
			*ret_hold = TAKE_FD(hold);
			return 0;
		}
		cleanup_close(&hold);
		hold = -EBADF;
		if (base_hold_alone(&hold, request->store, request->key, report_waiting, (void *)request, err) < 0)
			return -1;
		if (!base_exists(request->store, request->key) && make_base(request, err) < 0)
			return -1;
	}
}

int disk_need(int *ret_hold, const struct disk_request *request, struct annex_error **err)
{
	context_report(request->context, step, request->text, 0, 0, false);
	if (need(ret_hold, request, err) < 0)
		return -1;
	context_report(request->context, step, request->text, 0, 0, true);
	return 0;
}
