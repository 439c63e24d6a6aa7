/*
 * Exporting: layers were not kept, so they are made anew from their indexes and the contents on a base disk. That takes
 * two passes, since a tar archive wants to know a file's size, and a layout its digest, before its contents. All layers
 * are held for both, so that the passes see the same.
 */
#include "lib/context.h"
#include "lib/image.h"
#include "registry/imagefile.h"
#include "rootfs/export.h"
#include "store/base-donor.h"

#include "base/digest.h"

#include <string.h>

static const char step[] = "export";

struct exporting {
	struct annex_image *image;
	struct base_donor *donors; /* where each layer is */
	struct imagefile_layer *layers;
	size_t count;
	uint64_t done, total;   /* bytes of both passes; the total is known after the first */
	struct digest *digest;  /* of the layer that is measured */
	struct imagefile *file; /* that is written */
	size_t at;
};

static void exporting_clear(struct exporting *exporting)
{
	for (size_t i = 0; i < exporting->count; i++)
		base_donor_clear(&exporting->donors[i]);
	free(exporting->donors);
	free(exporting->layers);
	digest_free(exporting->digest);
}

static int find_layers(struct exporting *exporting, struct annex_error **err)
{
	const struct image_record *record = &exporting->image->record;
	auto_store struct store *store = NULL;

	exporting->donors = calloc(record->layer_count, sizeof(*exporting->donors));
	exporting->layers = calloc(record->layer_count, sizeof(*exporting->layers));
	if (!exporting->donors || !exporting->layers)
		return fail_memory(err);
	if (entry_open_store(&store, exporting->image->context, err) < 0)
		return -1;
	for (size_t i = 0; i < record->layer_count; i++) {
		/* Any base will do: the contents are the same. */
		if (base_find_donor(&exporting->donors[i], store, "", record->layers[i].diff_id, err) < 0)
			return -1;
		exporting->count = i + 1;
		if (exporting->donors[i].disk >= 0)
			continue;
		fail(err, ANNEX_ERROR_NOT_FOUND, "layer %zu of %zu is not here any more", i + 1, record->layer_count);
		return fail_hint(err, "annex image delete %s, then pull or import it again", record->id);
	}
	return 0;
}

static int count_bytes(struct exporting *exporting, size_t size)
{
	exporting->done += size;
	context_report(exporting->image->context, step, exporting->file ? "writing the archive" : "reading the layers",
		       exporting->done, exporting->total, false);
	return context_is_cancelled(exporting->image->context) ? -ECANCELED : 0;
}

static int measure_bytes(const void *bytes, size_t size, void *data)
{
	struct exporting *exporting = data;

	digest_add(exporting->digest, bytes, size);
	exporting->layers[exporting->at].size += size;
	return count_bytes(exporting, size);
}

static int write_bytes(const void *bytes, size_t size, void *data)
{
	struct exporting *exporting = data;
	int result = imagefile_put(exporting->file, bytes, size);

	return result < 0 ? result : count_bytes(exporting, size);
}

static int export_one(struct exporting *exporting, size_t index, export_sink_fn *sink, struct annex_error **err)
{
	const struct base_donor *donor = &exporting->donors[index];

	if (export_layer(donor->disk, donor->index, exporting->image->record.layers[index].diff_id, sink, exporting,
			 err) < 0)
		return fail_while(err, "layer %zu of %zu", index + 1, exporting->count);
	return 0;
}

static int measure(struct exporting *exporting, struct annex_error **err)
{
	for (size_t i = 0; i < exporting->count; i++) {
		exporting->at = i;
		if (digest_new(&exporting->digest) < 0)
			return fail_memory(err);
		if (export_one(exporting, i, measure_bytes, err) < 0)
			return -1;
		digest_finish(exporting->digest, exporting->layers[i].digest);
		digest_free(TAKE(exporting->digest));
	}
	exporting->total = 2 * exporting->done;
	return 0;
}

static int write_layer(struct imagefile *file, size_t index, void *data, struct annex_error **err)
{
	struct exporting *exporting = data;

	exporting->file = file;
	return export_one(exporting, index, write_bytes, err);
}

static int run(struct exporting *exporting, int fd, struct annex_error **err)
{
	const struct annex_image *image = exporting->image;
	struct imagefile_image made = {.names = &image->record.names, .write_layer = write_layer, .data = exporting};
	auto_store struct store *store = NULL;
	auto_free char *config = NULL;

	if (entry_open_store(&store, image->context, err) < 0 ||
	    catalog_read_blob(&config, &made.config_size, store, image->record.id, CONFIG_SIZE_LIMIT, err) < 0 ||
	    find_layers(exporting, err) < 0 || measure(exporting, err) < 0)
		return -1;
	made.config = config;
	made.layers = exporting->layers;
	made.layer_count = exporting->count;
	return imagefile_write(fd, &made, err);
}

API int annex_image_export(struct annex_image *image, int fd, struct annex_error **err)
{
	CLEANUP(exporting_clear) struct exporting exporting = {.image = image};
	auto_error struct annex_error *why = NULL;

	context_report(image->context, step, "reading the layers", 0, 0, false);
	if (run(&exporting, fd, &why) == 0) {
		context_report(image->context, step, "writing the archive", 0, 0, true);
		return 0;
	}
	context_blame_cancel(image->context, &why);
	fail_while(&why, "cannot export image %.200s", image->names.count ? image->names.items[0] : image->record.id);
	if (err)
		*err = TAKE(why);
	return -1;
}
