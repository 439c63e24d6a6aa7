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

int image_open_store(struct store **ret, struct annex_context *context, struct annex_error **err)
{
	auto_free char *folder = NULL;

	if (context_folder(&folder, context, "images", err) < 0)
		return -1;
	return store_open(ret, folder, err);
}

static char *familiar(const char *name)
{
	auto_reference struct reference reference = {0};

	return reference_parse(&reference, name, NULL) < 0 ? strdup(name) : reference_familiar(&reference);
}

static int load_config(struct annex_image *image, struct store *store, struct annex_error **err)
{
	auto_free char *bytes = NULL;
	size_t size;

	if (catalog_read_blob(&bytes, &size, store, image->record.id, CONFIG_SIZE_LIMIT, err) < 0)
		return -1;
	return image_config_decode(&image->config, bytes, size, err);
}

/* Takes the contents of the record. */
static int make(struct annex_image **ret, struct annex_context *context, struct store *store,
		struct image_record *record, struct annex_error **err)
{
	auto_image struct annex_image *image = calloc(1, sizeof(*image));

	if (!image)
		return fail_memory(err);
	image->context = annex_context_ref(context);
	image->record = *record;
	*record = (struct image_record){0};
	for (size_t i = 0; i < image->record.names.count; i++) {
		if (text_list_add_owned(&image->names, familiar(image->record.names.items[i])) < 0)
			return fail_memory(err);
	}
	image->size = base_size(store, image->record.base);
	image->base_path = base_path(store, image->record.base);
	if (!image->base_path)
		return fail_memory(err);
	*ret = TAKE(image);
	return 0;
}

int image_make(struct annex_image **ret, struct annex_context *context, struct store *store,
	       struct image_record *record, struct annex_error **err)
{
	auto_image struct annex_image *image = NULL;

	if (make(&image, context, store, record, err) < 0)
		return -1;
	assert(image);
	if (load_config(image, store, err) < 0)
		return -1;
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
	auto_image_record struct image_record record = {0};
	auto_close int hold = -EBADF;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	if (image_open_store(&store, context, err) < 0 ||
	    import_image(&record, &hold, context, store, source, &chosen, err) < 0)
		return -1;
	return image_make(ret, context, store, &record, err);
}

API int annex_image_pull(struct annex_image **ret, int *ret_changed, struct annex_context *context,
			 const char *reference, const struct annex_image_pull_options *options,
			 struct annex_error **err)
{
	struct annex_image_pull_options chosen = ANNEX_IMAGE_PULL_OPTIONS_INIT;
	struct pull_request request = {.context = context, .reference = reference};
	auto_store struct store *store = NULL;
	auto_image_record struct image_record record = {0};
	auto_close int hold = -EBADF;
	bool changed = false;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	if (image_open_store(&store, context, err) < 0)
		return -1;
	request.store = store;
	request.platform = chosen.platform;
	request.scheme = chosen.scheme;
	if (pull_image(&record, &hold, &changed, &request, err) < 0 ||
	    image_make(ret, context, store, &record, err) < 0)
		return -1;
	if (ret_changed)
		*ret_changed = changed;
	return 0;
}

/* What a user's text stands for: a name in normalised spelling (NULL: it can only be an id), and a digest or an id. */
struct wanted {
	char *name;
	char *id;
};

static void wanted_clear(struct wanted *wanted)
{
	free(wanted->name);
	free(wanted->id);
}

static int understand(struct wanted *ret, const char *text, struct annex_error **err)
{
	auto_reference struct reference reference = {0};
	size_t digits = strspn(text, "0123456789abcdef");

	if (!(digits == 64 && !text[64])) {
		if (reference_parse(&reference, text, err) < 0)
			return -1;
		ret->name = reference_text(&reference);
		if (!ret->name)
			return fail_memory(err);
	}
	ret->id = strdup(reference.digest ? reference.digest : text);
	return ret->id ? 0 : fail_memory(err);
}

/* A path in place of a name is the likely mistake. */
static void suggest_source(struct annex_error **err, const char *text)
{
	struct stat st;

	if (stat(text, &st) == 0 && (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)))
		fail_hint(err, "for the %s: %s:%s", S_ISDIR(st.st_mode) ? "OCI layout in the folder" : "archive",
			  S_ISDIR(st.st_mode) ? "oci" : "oci-archive", text);
}

int image_find(struct image_record *ret, struct store *store, const char *text, struct annex_error **err)
{
	CLEANUP(wanted_clear) struct wanted wanted = {0};
	auto_error struct annex_error *why = NULL;
	int result = understand(&wanted, text, &why);

	if (result == 0)
		result = catalog_find(ret, store, wanted.name, wanted.id, &why);
	if (result == 0)
		return 0;
	if (annex_error_kind(why) == ANNEX_ERROR_NOT_FOUND || annex_error_kind(why) == ANNEX_ERROR_USAGE) {
		auto_error struct annex_error *plain = TAKE(why);

		fail(&why, annex_error_kind(plain), "%s", annex_error_message(plain));
		suggest_source(&why, text);
		if (annex_error_hint(plain))
			fail_hint(&why, "%s", annex_error_hint(plain));
	}
	if (err)
		*err = TAKE(why);
	return -1;
}

static int wait_unless_cancelled(void *data)
{
	return context_is_cancelled(data);
}

int image_find_held(struct image_record *ret, int *ret_hold, struct annex_context *context, struct store *store,
		    const char *text, struct annex_error **err)
{
	for (;;) {
		auto_image_record struct image_record record = {0}, again = {0};
		auto_close int hold = -EBADF;

		if (image_find(&record, store, text, err) < 0 ||
		    base_hold(&hold, store, record.base, wait_unless_cancelled, context, err) < 0 ||
		    image_find(&again, store, text, err) < 0)
			return -1;
		if (strcmp(again.base, record.base) != 0)
			continue;
		if (!base_exists(store, again.base)) {
			fail(err, ANNEX_ERROR_NOT_FOUND, "the disk of image %s is missing", text);
			return fail_hint(err, "annex image pull %s", text);
		}
		*ret = again;
		again = (struct image_record){0};
		*ret_hold = TAKE_FD(hold);
		return 0;
	}
}

API int annex_image_open(struct annex_image **ret, struct annex_context *context, const char *name,
			 struct annex_error **err)
{
	auto_store struct store *store = NULL;
	auto_image_record struct image_record record = {0};

	if (image_open_store(&store, context, err) < 0 || image_find(&record, store, name, err) < 0)
		return -1;
	return image_make(ret, context, store, &record, err);
}

API int annex_image_list(struct annex_image ***ret, size_t *ret_count, struct annex_context *context,
			 struct annex_error **err)
{
	auto_store struct store *store = NULL;
	auto_catalog struct catalog catalog = {0};
	struct annex_image **list;

	if (image_open_store(&store, context, err) < 0 || catalog_list(&catalog, store, err) < 0)
		return -1;
	list = calloc(catalog.count + 1, sizeof(struct annex_image *));
	if (!list)
		return fail_memory(err);
	for (size_t i = 0; i < catalog.count; i++) {
		/* A damaged configuration is the matter of who uses that image. */
		if (make(&list[i], context, store, &catalog.items[i], err) < 0) {
			annex_image_list_free(list, i);
			return -1;
		}
		if (load_config(list[i], store, NULL) < 0)
			image_config_clear(&list[i]->config);
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
	CLEANUP(wanted_clear) struct wanted wanted = {0};
	auto_store struct store *store = NULL;

	if (image_open_store(&store, context, err) < 0 || understand(&wanted, name, err) < 0 ||
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

	if (image_open_store(&store, context, err) < 0)
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

API char *annex_image_describe(const struct annex_image *image)
{
	const struct image_record *record = &image->record;
	char created[TIME_BUFFER], imported[TIME_BUFFER];
	auto_json json_t *value = NULL;

	time_format(created, record->created);
	time_format(imported, record->imported);
	value = json_pack("{s:s, s:o, s:s, s:s, s:s?, s:s, s:I, s:o, s:o, s:s}", "id", record->id, "names",
			  describe_texts(&image->names), "digest", record->digest, "platform", record->platform,
			  "created", record->created ? created : NULL, "imported", imported, "size",
			  (json_int_t)image->size, "config", describe_config(&image->config), "layers",
			  describe_layers(record), "disk", image->base_path);
	return value ? json_text(value, true) : NULL;
}
