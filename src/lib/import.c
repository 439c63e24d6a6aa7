/*
 * Importing: source → manifest → base disk → record, in this order, so that a record always has its disk and its
 * documents. Everything half-made is in the store's temporary folder. The disk is held from before it is made (or
 * found) until the record is written, so that nobody who cleans up meanwhile removes it; and while one process makes a
 * disk, others that need the same wait for it instead of making it too.
 */
#include "lib/import.h"

#include "base/file.h"
#include "base/time.h"
#include "lib/context.h"
#include "registry/reference.h"
#include "registry/source.h"
#include "rootfs/rootfs.h"
#include "store/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct work {
	struct annex_context *context;
	struct store *store;
	const char *spec;
	struct image_source *source;
	struct image_manifest manifest;
	char key[BASE_KEY_TEXT];
};

static int report_reading(uint64_t done, uint64_t total, void *data)
{
	const struct work *work = data;

	context_report(work->context, "import", "reading the archive", done, total, false);
	return context_is_cancelled(work->context);
}

static int report_waiting(void *data)
{
	const struct work *work = data;

	context_report(work->context, "disk", "waiting for another process that makes this disk", 0, 0, false);
	return context_is_cancelled(work->context);
}

static int report_unpacking(const uint64_t *done, size_t count, void *data)
{
	const struct work *work = data;
	uint64_t sum = 0, total = 0;

	for (size_t i = 0; i < count; i++) {
		sum += done[i];
		total += work->manifest.layers[i].size;
	}
	context_report(work->context, "disk", "unpacking layers", sum, total, false);
	return context_is_cancelled(work->context);
}

static enum rootfs_compression compression_of(enum media_compression compression)
{
	static const enum rootfs_compression same[] = {
		[MEDIA_PLAIN] = ROOTFS_PLAIN, [MEDIA_GZIP] = ROOTFS_GZIP, [MEDIA_ZSTD] = ROOTFS_ZSTD};

	return same[compression];
}

static int open_layers(struct work *work, struct rootfs_layer *layers, struct annex_error **err)
{
	const struct image_manifest *manifest = &work->manifest;

	for (size_t i = 0; i < manifest->layer_count; i++) {
		const struct image_layer *layer = &manifest->layers[i];

		layers[i].compression = compression_of(layer->compression);
		layers[i].digest = layer->digest;
		layers[i].size = layer->size;
		layers[i].diff_id = layer->diff_id;
		layers[i].index = memfd_create("annex-index", MFD_CLOEXEC);
		if (layers[i].index < 0)
			return fail_os(err, errno, "cannot create a file in memory");
		if (image_source_open_layer(&layers[i].fd, work->source, manifest, i, err) < 0)
			return -1;
	}
	return 0;
}

static int build_at(struct work *work, const char *path, const struct rootfs_layer *layers, struct annex_error **err)
{
	auto_close int disk = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	const struct rootfs_events events = {.progress = report_unpacking, .data = work};
	uint64_t size;

	if (disk < 0)
		return fail_os(err, errno, "cannot create %s", path);
	if (rootfs_build(disk, layers, work->manifest.layer_count, &events, &size, err) < 0)
		return -1;
	return fdatasync(disk) < 0 ? fail_os(err, errno, "cannot write the disk image") : 0;
}

/* The caller holds the base alone. */
static int build_base(struct work *work, struct annex_error **err)
{
	size_t count = work->manifest.layer_count;
	auto_free struct rootfs_layer *layers = calloc(count, sizeof(*layers));
	auto_free char *path = NULL;
	const char *folder;
	int result;

	if (!layers)
		return fail_memory(err);
	for (size_t i = 0; i < count; i++)
		layers[i] = (struct rootfs_layer){.fd = -EBADF, .index = -EBADF};
	if (store_temporary_folder(&folder, work->store, err) < 0)
		return -1;
	path = path_join(folder, "base.ext4");
	if (!path)
		return fail_memory(err);
	result = open_layers(work, layers, err);
	if (result == 0)
		result = build_at(work, path, layers, err);
	for (size_t i = 0; i < count; i++) {
		cleanup_close(&layers[i].fd);
		cleanup_close(&layers[i].index);
	}
	if (result == 0)
		result = base_publish(work->store, work->key, path, err);
	if (result < 0)
		unlink(path);
	return result;
}

/* Ends with the base there and held. */
static int need_base(int *ret_hold, struct work *work, struct annex_error **err)
{
	for (;;) {
		auto_close int hold = -EBADF;

		if (base_hold(&hold, work->store, work->key, report_waiting, work, err) < 0)
			return -1;
		if (base_exists(work->store, work->key)) {
			*ret_hold = TAKE_FD(hold);
			return 0;
		}
		cleanup_close(&hold);
		hold = -EBADF;
		if (base_hold_alone(&hold, work->store, work->key, report_waiting, work, err) < 0)
			return -1;
		if (!base_exists(work->store, work->key) && build_base(work, err) < 0)
			return -1;
	}
}

static void set_key(struct work *work, const char **diff_ids)
{
	for (size_t i = 0; i < work->manifest.layer_count; i++)
		diff_ids[i] = work->manifest.layers[i].diff_id;
	base_key(work->key, diff_ids, work->manifest.layer_count);
}

static int fill_record(struct image_record *record, const struct work *work, const char *name, struct annex_error **err)
{
	const struct image_manifest *manifest = &work->manifest;
	char platform[PLATFORM_LIMIT];

	record->id = strdup(manifest->config_digest);
	record->digest = strdup(manifest->digest);
	record->platform = strdup(platform_text(platform, &manifest->platform));
	record->base = strdup(work->key);
	if (!record->id || !record->digest || !record->platform || !record->base)
		return fail_memory(err);
	record->created = manifest->config.created;
	record->imported = time_realtime_ns() / 1000000000;
	if (text_list_add(&record->names, name ? name : image_source_name(work->source)) < 0)
		return fail_memory(err);
	for (size_t i = 0; i < manifest->layer_count; i++) {
		const struct image_layer *layer = &manifest->layers[i];

		if (image_record_add_layer(record, layer->digest, layer->diff_id, layer->size) < 0)
			return fail_memory(err);
	}
	return 0;
}

static int add_record(struct image_record *ret, const struct work *work, const char *name, struct annex_error **err)
{
	const struct image_manifest *manifest = &work->manifest;
	const struct catalog_blob blobs[] = {
		{manifest->digest, manifest->bytes, manifest->size},
		{manifest->config_digest, manifest->config_bytes, manifest->config_size},
	};
	auto_image_record struct image_record record = {0};

	if (fill_record(&record, work, name, err) < 0 ||
	    catalog_add(work->store, &record, blobs, COUNT_OF(blobs), err) < 0)
		return -1;
	*ret = record;
	record = (struct image_record){0};
	return 0;
}

static int choose_platform(struct platform *ret, const char *text, struct annex_error **err)
{
	platform_host(ret);
	if (text && platform_parse(ret, text, err) < 0)
		return -1;
	if (strcmp(ret->os, "linux") == 0)
		return 0;
	fail(err, ANNEX_ERROR_UNSUPPORTED, "platform %s: machines run Linux only", text);
	return fail_hint(err, "--platform linux/%s", ret->architecture);
}

static int open_source(struct work *work, const struct annex_image_import_options *options, struct annex_error **err)
{
	struct image_source_options with = {.input_fd = options->input_fd, .progress = report_reading, .data = work};
	struct platform platform;

	if (choose_platform(&platform, options->platform, err) < 0 ||
	    store_temporary_folder(&with.temporary_folder, work->store, err) < 0)
		return -1;
	context_report(work->context, "import", "reading the image", 0, 0, false);
	if (image_source_open(&work->source, work->spec, &with, err) < 0 ||
	    image_source_manifest(&work->manifest, work->source, &platform, err) < 0)
		return -1;
	context_report(work->context, "import", "reading the image", 0, 0, true);
	return context_check_cancelled(work->context, err);
}

static int run(struct image_record *ret, int *ret_hold, struct work *work,
	       const struct annex_image_import_options *options, struct annex_error **err)
{
	auto_free char *name = NULL;
	auto_free const char **diff_ids = NULL;
	auto_close int hold = -EBADF;

	if (options->name && reference_normalise(&name, options->name, err) < 0)
		return -1;
	if (open_source(work, options, err) < 0)
		return -1;
	diff_ids = calloc(work->manifest.layer_count, sizeof(*diff_ids));
	if (!diff_ids)
		return fail_memory(err);
	set_key(work, diff_ids);
	context_report(work->context, "disk", "making the disk", 0, 0, false);
	if (need_base(&hold, work, err) < 0)
		return -1;
	context_report(work->context, "disk", "making the disk", 0, 0, true);
	if (add_record(ret, work, name, err) < 0)
		return -1;
	*ret_hold = TAKE_FD(hold);
	return 0;
}

int import_image(struct image_record *ret, int *ret_hold, struct annex_context *context, struct store *store,
		 const char *spec, const struct annex_image_import_options *options, struct annex_error **err)
{
	struct work work = {.context = context, .store = store, .spec = spec};
	auto_error struct annex_error *why = NULL;
	int result = run(ret, ret_hold, &work, options, &why);

	image_manifest_clear(&work.manifest);
	image_source_free(work.source);
	if (result == 0)
		return 0;
	/* The signal that cancels also ends reads, and what is read then is no archive. */
	if (context_is_cancelled(context) && annex_error_kind(why) != ANNEX_ERROR_CANCELLED) {
		annex_error_free(TAKE(why));
		fail(&why, ANNEX_ERROR_CANCELLED, "cancelled");
	}
	fail_while(&why, "cannot import %.300s", spec);
	if (annex_error_errno(why) == ENOSPC || annex_error_errno(why) == EDQUOT)
		fail_hint(&why, "make room in %s: annex image list; annex image delete NAME", store->path);
	if (err)
		*err = TAKE(why);
	return -1;
}
