/*
 * Importing: an image in files becomes a record in the store with its base disk (lib/acquire.h). What an archive is
 * unpacked to lies in the store's temporary folder meanwhile.
 */
#include "lib/import.h"

#include "lib/acquire.h"
#include "lib/context.h"
#include "registry/reference.h"
#include "registry/source.h"

static int report_reading(uint64_t done, uint64_t total, void *data)
{
	context_report(data, "import", "reading the archive", done, total, false);
	return context_is_cancelled(data);
}

static int open_source(struct image_source **ret, struct image_manifest *ret_manifest, struct annex_context *context,
		       struct store *store, const char *spec, const struct annex_image_import_options *options,
		       struct annex_error **err)
{
	struct image_source_options with = {.input_fd = options->input_fd, .progress = report_reading, .data = context};
	auto_image_source struct image_source *source = NULL;
	struct platform platform;

	if (acquire_platform(&platform, options->platform, err) < 0 ||
	    store_temporary_folder(&with.temporary_folder, store, err) < 0)
		return -1;
	context_report(context, "import", "reading the image", 0, 0, false);
	if (image_source_open(&source, spec, &with, err) < 0 ||
	    image_source_manifest(ret_manifest, source, &platform, err) < 0)
		return -1;
	context_report(context, "import", "reading the image", 0, 0, true);
	*ret = TAKE(source);
	return context_check_cancelled(context, err);
}

static int run(struct image_entry *ret, struct annex_context *context, struct store *store, const char *spec,
	       const struct annex_image_import_options *options, struct annex_error **err)
{
	auto_image_source struct image_source *source = NULL;
	auto_image_manifest struct image_manifest manifest = {0};
	auto_free char *name = NULL;
	struct acquisition acquisition = {.disk = {.context = context,
						   .store = store,
						   .manifest = &manifest,
						   .title = spec,
						   .text = "making the disk"}};

	if (options->name && reference_normalise(&name, options->name, err) < 0)
		return -1;
	if (open_source(&source, &manifest, context, store, spec, options, err) < 0)
		return -1;
	acquisition.disk.source = source;
	acquisition.name = name ? name : image_source_name(source);
	return acquire(ret, &acquisition, err);
}

int import_image(struct image_entry *ret, struct annex_context *context, struct store *store, const char *spec,
		 const struct annex_image_import_options *options, struct annex_error **err)
{
	struct annex_error *why = NULL;
	auto_free char *what = NULL;

	if (run(ret, context, store, spec, options, &why) == 0)
		return 0;
	if (asprintf(&what, "cannot import %.300s", spec) < 0)
		what = NULL;
	return acquire_failed(err, why, context, what ? what : "cannot import an image");
}
