#include "store/record.h"

#include "base/digest.h"

#include <string.h>

static const struct json_row layer_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "digest", struct image_record_layer, digest, true),
	JSON_ROW(JSON_ROW_TEXT, "diff_id", struct image_record_layer, diff_id, true),
	JSON_ROW(JSON_ROW_U64, "size", struct image_record_layer, size, true),
};

static const struct json_row root_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "name", struct image_record_root, name, true),
	JSON_ROW(JSON_ROW_TEXT, "digest", struct image_record_root, digest, true),
};

static const struct json_row record_rows[] = {
	JSON_ROW(JSON_ROW_U64, "version", struct image_record, version, true),
	JSON_ROW(JSON_ROW_TEXT, "id", struct image_record, id, true),
	JSON_ROW(JSON_ROW_TEXT, "digest", struct image_record, digest, true),
	JSON_ROW(JSON_ROW_TEXT, "platform", struct image_record, platform, true),
	JSON_ROW(JSON_ROW_TEXT, "base", struct image_record, base, true),
	JSON_ROW(JSON_ROW_TEXTS, "names", struct image_record, names, true),
	JSON_ROW(JSON_ROW_TIME, "created", struct image_record, created, true),
	JSON_ROW(JSON_ROW_TIME, "imported", struct image_record, imported, true),
	JSON_ROW(JSON_ROW_U64, "sequence", struct image_record, sequence, true),
};

void image_record_clear(struct image_record *record)
{
	json_clear(record, record_rows, COUNT_OF(record_rows));
	for (size_t i = 0; i < record->layer_count; i++)
		json_clear(&record->layers[i], layer_rows, COUNT_OF(layer_rows));
	free(record->layers);
	for (size_t i = 0; i < record->root_count; i++)
		json_clear(&record->roots[i], root_rows, COUNT_OF(root_rows));
	free(record->roots);
	*record = (struct image_record){0};
}

static int decode_layers(struct image_record *into, const json_t *list, const char *what, struct annex_error **err)
{
	size_t count = json_array_size(list);

	if (!json_is_array(list) || count > IMAGE_RECORD_LAYERS)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: layers: not a list of layers", what);
	into->layers = calloc(count + 1, sizeof(*into->layers));
	if (!into->layers)
		return fail_memory(err);
	into->layer_count = count;
	for (size_t i = 0; i < count; i++) {
		struct image_record_layer *layer = &into->layers[i];

		if (json_decode(layer, json_array_get(list, i), layer_rows, COUNT_OF(layer_rows), what, err) < 0)
			return -1;
		if (!digest_is_valid(layer->digest) || !digest_is_valid(layer->diff_id))
			return fail(err, ANNEX_ERROR_CORRUPT, "%s: layer %zu: malformed digest", what, i + 1);
	}
	return 0;
}

/* Records of images that came from no registry have none, and those of an annex that could not pull. */
static int decode_roots(struct image_record *into, const json_t *roots, const char *what, struct annex_error **err)
{
	const char *name;
	json_t *value;

	if (roots && !json_is_object(roots))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: roots: not an object", what);
	json_object_foreach((json_t *)roots, name, value)
	{
		const char *digest = json_string_value(value);

		if (!digest || !digest_is_valid(digest))
			return fail(err, ANNEX_ERROR_CORRUPT, "%s: roots: malformed digest", what);
		if (image_record_find_name(into, name) >= 0 && image_record_set_root(into, name, digest) < 0)
			return fail_memory(err);
	}
	return 0;
}

static bool is_key(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static int decode(struct image_record *into, const json_t *value, const char *what, struct annex_error **err)
{
	if (json_decode(into, value, record_rows, COUNT_OF(record_rows), what, err) < 0)
		return -1;
	if (into->version > IMAGE_RECORD_VERSION)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s: written by a newer version of annex", what);
	if (!digest_is_valid(into->id) || !digest_is_valid(into->digest) || !is_key(into->base))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: malformed digest", what);
	if (decode_layers(into, json_object_get(value, "layers"), what, err) < 0)
		return -1;
	return decode_roots(into, json_object_get(value, "roots"), what, err);
}

int image_record_decode(struct image_record *ret, const json_t *value, const char *what, struct annex_error **err)
{
	auto_image_record struct image_record made = {0};

	if (decode(&made, value, what, err) < 0)
		return -1;
	*ret = made;
	made = (struct image_record){0};
	return 0;
}

static int encode_roots(json_t *value, const struct image_record *record)
{
	auto_json json_t *roots = json_object();

	if (record->root_count == 0)
		return 0;
	for (size_t i = 0; i < record->root_count; i++) {
		if (json_object_set_new(roots, record->roots[i].name, json_string(record->roots[i].digest)) < 0)
			return -1;
	}
	return json_object_set(value, "roots", roots);
}

json_t *image_record_encode(const struct image_record *record)
{
	auto_json json_t *value = json_encode(record, record_rows, COUNT_OF(record_rows)), *layers = json_array();

	for (size_t i = 0; i < record->layer_count; i++) {
		json_t *layer = json_encode(&record->layers[i], layer_rows, COUNT_OF(layer_rows));

		if (json_array_append_new(layers, layer) < 0)
			return NULL;
	}
	if (json_object_set(value, "layers", layers) < 0 || encode_roots(value, record) < 0)
		return NULL;
	return TAKE(value);
}

int image_record_add_layer(struct image_record *record, const char *digest, const char *diff_id, uint64_t size)
{
	struct image_record_layer *grown = reallocarray(record->layers, record->layer_count + 1, sizeof(*grown)),
				  *layer;

	if (!grown)
		return -ENOMEM;
	record->layers = grown;
	layer = &grown[record->layer_count++];
	*layer = (struct image_record_layer){.digest = strdup(digest), .diff_id = strdup(diff_id), .size = size};
	return layer->digest && layer->diff_id ? 0 : -ENOMEM;
}

ssize_t image_record_find_name(const struct image_record *record, const char *name)
{
	for (size_t i = 0; i < record->names.count; i++) {
		if (strcmp(record->names.items[i], name) == 0)
			return (ssize_t)i;
	}
	return -1;
}

static struct image_record_root *find_root(const struct image_record *record, const char *name)
{
	for (size_t i = 0; i < record->root_count; i++) {
		if (strcmp(record->roots[i].name, name) == 0)
			return &record->roots[i];
	}
	return NULL;
}

const char *image_record_root(const struct image_record *record, const char *name)
{
	const struct image_record_root *root = find_root(record, name);

	return root ? root->digest : NULL;
}

bool image_record_has_root(const struct image_record *record, const char *digest)
{
	for (size_t i = 0; i < record->root_count; i++) {
		if (strcmp(record->roots[i].digest, digest) == 0)
			return true;
	}
	return false;
}

static void drop_root(struct image_record *record, const char *name)
{
	struct image_record_root *root = find_root(record, name);

	if (!root)
		return;
	json_clear(root, root_rows, COUNT_OF(root_rows));
	*root = record->roots[--record->root_count];
}

int image_record_set_root(struct image_record *record, const char *name, const char *digest)
{
	struct image_record_root made = {.name = strdup(name), .digest = strdup(digest)}, *grown = NULL;

	if (made.name && made.digest)
		grown = reallocarray(record->roots, record->root_count + 1, sizeof(*grown));
	if (!grown) {
		json_clear(&made, root_rows, COUNT_OF(root_rows));
		return -ENOMEM;
	}
	record->roots = grown;
	drop_root(record, name);
	record->roots[record->root_count++] = made;
	return 0;
}

void image_record_drop_name(struct image_record *record, size_t index)
{
	struct text_list *names = &record->names;

	drop_root(record, names->items[index]);
	free(names->items[index]);
	memmove(&names->items[index], &names->items[index + 1], (names->count - index) * sizeof(*names->items));
	names->count--;
}
