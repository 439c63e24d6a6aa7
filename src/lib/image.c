/*
 * Images for users of the library. An object is a copy of the record as it was when it was opened, together with the
 * configuration it names; it holds nothing in the store.
 */
#include "lib/image.h"

#include "annex/image.h"

#include "base/file.h"
#include "base/time.h"
#include "lib/context.h"
#include "lib/import.h"
#include "lib/pull.h"
#include "lib/uses.h"
#include "registry/manifest.h"
#include "registry/reference.h"
#include "store/base.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

char *image_familiar(const char *name)
{
	auto_reference struct reference reference = {0};

	return reference_parse(&reference, name, NULL) < 0 ? strdup(name) : reference_familiar(&reference);
}

int image_make(struct annex_image **ret, struct annex_context *context, struct store *store, struct image_entry *entry,
	       struct annex_error **err)
{
	auto_image struct annex_image *image = calloc(1, sizeof(*image));

	if (!image)
		return fail_memory(err);
	image->context = annex_context_ref(context);
	image->record = entry->record;
	image->config = entry->config;
	entry->record = (struct image_record){0};
	entry->config = (struct image_config){0};
	for (size_t i = 0; i < image->record.names.count; i++) {
		if (text_list_add_owned(&image->names, image_familiar(image->record.names.items[i])) < 0)
			return fail_memory(err);
	}
	image->size = base_size(store, image->record.base);
	image->base_path = base_path(store, image->record.base);
	if (!image->base_path)
		return fail_memory(err);
	*ret = TAKE(image);
	return 0;
}

API void annex_image_unref(struct annex_image *image)
{
	if (!image)
		return;
	image_record_clear(&image->record);
	image_config_clear(&image->config);
	text_list_clear(&image->names);
	free(image->base_path);
	annex_context_unref(image->context);
	free(image);
}

API int annex_image_import(struct annex_image **ret, struct annex_context *context, const char *source,
			   const struct annex_image_import_options *options, struct annex_error **err)
{
	struct annex_image_import_options chosen = ANNEX_IMAGE_IMPORT_OPTIONS_INIT;
	auto_store struct store *store = NULL;
	auto_image_entry struct image_entry entry = {0};

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	if (entry_open_store(&store, context, err) < 0 ||
	    import_image(&entry, context, store, source, &chosen, err) < 0)
		return -1;
	return image_make(ret, context, store, &entry, err);
}

API int annex_image_pull(struct annex_image **ret, int *ret_changed, struct annex_context *context,
			 const char *reference, const struct annex_image_pull_options *options,
			 struct annex_error **err)
{
	struct annex_image_pull_options chosen = ANNEX_IMAGE_PULL_OPTIONS_INIT;
	struct pull_request request = {.context = context, .reference = reference};
	auto_store struct store *store = NULL;
	auto_image_entry struct image_entry entry = {0};
	bool changed = false;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	if (entry_open_store(&store, context, err) < 0)
		return -1;
	request.store = store;
	request.platform = chosen.platform;
	request.scheme = chosen.scheme;
	if (pull_image(&entry, &changed, &request, err) < 0 || image_make(ret, context, store, &entry, err) < 0)
		return -1;
	if (ret_changed)
		*ret_changed = changed;
	return 0;
}

API int annex_image_open(struct annex_image **ret, struct annex_context *context, const char *name,
			 struct annex_error **err)
{
	auto_store struct store *store = NULL;
	auto_image_entry struct image_entry entry = {0};

	if (entry_open_store(&store, context, err) < 0 || entry_find(&entry, store, name, err) < 0)
		return -1;
	return image_make(ret, context, store, &entry, err);
}

API int annex_image_list(struct annex_image ***ret, size_t *ret_count, struct annex_context *context,
			 struct annex_error **err)
{
	auto_store struct store *store = NULL;
	auto_catalog struct catalog catalog = {0};
	struct annex_image **list;

	if (entry_open_store(&store, context, err) < 0 || catalog_list(&catalog, store, err) < 0)
		return -1;
	list = calloc(catalog.count + 1, sizeof(struct annex_image *));
	if (!list)
		return fail_memory(err);
	for (size_t i = 0; i < catalog.count; i++) {
		auto_image_entry struct image_entry entry = {.record = catalog.items[i]};

		catalog.items[i] = (struct image_record){0};
		/* A damaged configuration is the matter of who uses that image. */
		if (entry_load_config(&entry.config, store, &entry.record, NULL) < 0)
			image_config_clear(&entry.config);
		if (image_make(&list[i], context, store, &entry, err) < 0) {
			annex_image_list_free(list, i);
			return -1;
		}
	}
	*ret = list;
	*ret_count = catalog.count;
	return 0;
}

API void annex_image_list_free(struct annex_image **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		annex_image_unref(list[i]);
	free(list);
}

API int annex_image_delete(struct annex_context *context, const char *name, struct annex_error **err)
{
	auto_entry_wanted struct entry_wanted wanted = {0};
	auto_store struct store *store = NULL;

	if (entry_open_store(&store, context, err) < 0 || entry_understand(&wanted, name, err) < 0 ||
	    catalog_delete(store, wanted.name, wanted.id, err) < 0)
		return fail_while(err, "cannot delete image %.200s", name);
	return image_collect(context, err);
}

/* When in doubt, it is. */
static bool is_used_by_machine(const char *key, void *data)
{
	auto_uses struct uses uses = {0};

	return uses_load(&uses, data, NULL) < 0 || uses_base(&uses, key);
}

int image_collect(struct annex_context *context, struct annex_error **err)
{
	auto_store struct store *store = NULL;

	if (entry_open_store(&store, context, err) < 0)
		return -1;
	return catalog_collect(store, is_used_by_machine, context, err);
}

API const char *annex_image_id(const struct annex_image *image)
{
	return image->record.id;
}

API const char *annex_image_digest(const struct annex_image *image)
{
	return image->record.digest;
}

API const char *annex_image_platform(const struct annex_image *image)
{
	return image->record.platform;
}

API size_t annex_image_name_count(const struct annex_image *image)
{
	return image->names.count;
}

API const char *annex_image_name(const struct annex_image *image, size_t index)
{
	return index < image->names.count ? image->names.items[index] : NULL;
}

API int64_t annex_image_created(const struct annex_image *image)
{
	return image->record.created;
}

API int64_t annex_image_imported(const struct annex_image *image)
{
	return image->record.imported;
}

API uint64_t annex_image_size(const struct annex_image *image)
{
	return image->size;
}

static json_t *describe_texts(const struct text_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(list->items[i]));
	return array;
}

static json_t *describe_config(const struct image_config *config)
{
	return json_pack("{s:o, s:o, s:o, s:s?, s:s?, s:s?, s:O?}", "env", describe_texts(&config->env), "entrypoint",
			 describe_texts(&config->entrypoint), "command", describe_texts(&config->command), "user",
			 config->user, "workdir", config->folder, "stopSignal", config->stop_signal, "labels",
			 config->labels);
}

static json_t *describe_layers(const struct image_record *record)
{
	json_t *array = json_array();

	for (size_t i = 0; i < record->layer_count; i++) {
		const struct image_record_layer *layer = &record->layers[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:I}", "digest", layer->digest, "diffId",
						       layer->diff_id, "size", (json_int_t)layer->size));
	}
	return array;
}

static bool has_text(const json_t *array, const char *text)
{
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item)
	{
		if (text_equal(json_string_value(item), text))
			return true;
	}
	return false;
}

/* "debian@sha256:…" for where names led that came from registries. */
static json_t *describe_roots(const struct image_record *record)
{
	json_t *array = json_array();

	for (size_t i = 0; i < record->root_count; i++) {
		auto_reference struct reference reference = {0};
		auto_free char *text = NULL;

		if (reference_parse(&reference, record->roots[i].name, NULL) < 0)
			continue;
		free(TAKE(reference.tag));
		free(reference.digest);
		reference.digest = strdup(record->roots[i].digest);
		text = reference.digest ? reference_familiar(&reference) : NULL;
		if (text && !has_text(array, text))
			json_array_append_new(array, json_string(text));
	}
	return array;
}

API char *annex_image_describe(const struct annex_image *image)
{
	const struct image_record *record = &image->record;
	char created[TIME_BUFFER], imported[TIME_BUFFER];
	auto_json json_t *value = NULL;

	time_format(created, record->created);
	time_format(imported, record->imported);
	value = json_pack("{s:s, s:o, s:o, s:s, s:s, s:s?, s:s, s:I, s:o, s:o, s:s}", "id", record->id, "names",
			  describe_texts(&image->names), "registryDigests", describe_roots(record), "digest",
			  record->digest, "platform", record->platform, "created", record->created ? created : NULL,
			  "imported", imported, "size", (json_int_t)image->size, "config",
			  describe_config(&image->config), "layers", describe_layers(record), "disk", image->base_path);
	return value ? json_text(value, true) : NULL;
}
