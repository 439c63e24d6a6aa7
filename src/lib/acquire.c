/*
 * Manifest → base disk → record, in this order, so that a record always has its disk and its documents. The disk is
 * held from before it is made (or found) until the record is written, so that nobody who cleans up meanwhile removes
 * it.
 */
#include "lib/acquire.h"

#include "base/time.h"
#include "lib/context.h"

#include <stdio.h>
#include <string.h>

static int set_key(char key[BASE_KEY_TEXT], const struct image_manifest *manifest, struct annex_error **err)
{
	auto_free const char **diff_ids = calloc(manifest->layer_count, sizeof(*diff_ids));

	if (!diff_ids)
		return fail_memory(err);
	for (size_t i = 0; i < manifest->layer_count; i++)
		diff_ids[i] = manifest->layers[i].diff_id;
	base_key(key, diff_ids, manifest->layer_count);
	return 0;
}

static int fill_record(struct image_record *record, const struct acquisition *acquisition, struct annex_error **err)
{
	const struct image_manifest *manifest = acquisition->disk.manifest;
	char platform[PLATFORM_LIMIT];

	record->id = strdup(manifest->config_digest);
	record->digest = strdup(manifest->digest);
	record->platform = strdup(platform_text(platform, &manifest->platform));
	record->base = strdup(acquisition->disk.key);
	if (!record->id || !record->digest || !record->platform || !record->base)
		return fail_memory(err);
	record->created = manifest->config.created;
	record->imported = time_realtime_ns() / 1000000000;
	if (text_list_add(&record->names, acquisition->name) < 0 ||
	    (acquisition->root && image_record_set_root(record, acquisition->name, acquisition->root) < 0))
		return fail_memory(err);
	for (size_t i = 0; i < manifest->layer_count; i++) {
		const struct image_layer *layer = &manifest->layers[i];

		if (image_record_add_layer(record, layer->digest, layer->diff_id, layer->size) < 0)
			return fail_memory(err);
	}
	return 0;
}

static int add_record(struct image_record *ret, const struct acquisition *acquisition, struct annex_error **err)
{
	const struct image_manifest *manifest = acquisition->disk.manifest;
	const struct catalog_blob blobs[] = {
		{manifest->digest, manifest->bytes, manifest->size},
		{manifest->config_digest, manifest->config_bytes, manifest->config_size},
	};
	auto_image_record struct image_record record = {0};

	if (fill_record(&record, acquisition, err) < 0 ||
	    catalog_add(acquisition->disk.store, &record, blobs, COUNT_OF(blobs), err) < 0)
		return -1;
	*ret = record;
	record = (struct image_record){0};
	return 0;
}

int acquire(struct image_entry *ret, struct acquisition *acquisition, struct annex_error **err)
{
	struct image_manifest *manifest = acquisition->disk.manifest;
	auto_image_entry struct image_entry entry = {0};
	char key[BASE_KEY_TEXT];

	if (set_key(key, manifest, err) < 0)
		return -1;
	acquisition->disk.key = key;
	if (disk_need(&entry.hold, &acquisition->disk, err) < 0 || add_record(&entry.record, acquisition, err) < 0)
		return -1;
	entry.config = manifest->config;
	manifest->config = (struct image_config){0};
	*ret = entry;
	entry = (struct image_entry){0};
	return 0;
}

int acquire_platform(struct platform *ret, const char *text, struct annex_error **err)
{
	platform_host(ret);
	if (text && platform_parse(ret, text, err) < 0)
		return -1;
	if (strcmp(ret->os, "linux") == 0)
		return 0;
	fail(err, ANNEX_ERROR_UNSUPPORTED, "platform %s: machines run Linux only", text);
	return fail_hint(err, "--platform linux/%s", ret->architecture);
}

int acquire_failed(struct annex_error **err, struct annex_error *why, struct annex_context *context, const char *what)
{
	context_blame_cancel(context, &why);
	fail_while(&why, "%s", what);
	if (annex_error_errno(why) == ENOSPC || annex_error_errno(why) == EDQUOT)
		fail_hint(&why, "make room in %s: annex image prune --all, or annex image delete NAME", context->data);
	if (err)
		*err = why;
	else
		annex_error_free(why);
	return -1;
}
