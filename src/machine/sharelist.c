/* The list of shares as it travels: what STATE carries and commands show, and paths looked up in it. */
#include "machine/share.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static json_t *encode_texts(const struct text_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < list->count; i++)
		json_array_append_new(array, json_string(list->items[i]));
	return array;
}

static json_t *encode_share(const struct machine_share *share)
{
	auto_json json_t *object = json_object();
	int result = object ? 0 : -1;

	result = result < 0 ? result
			    : json_object_set_new(object, "name", json_string(share->name)) +
				      json_object_set_new(object, "source", json_string(share->source)) +
				      json_object_set_new(object, "target", json_string(share->target)) +
				      json_object_set_new(object, "type",
							  json_string(share->is_file ? "file" : "folder")) +
				      json_object_set_new(object, "readOnly", json_boolean(share->read_only)) +
				      json_object_set_new(object, "cache", json_string(share->cache)) +
				      json_object_set_new(object, "masks", encode_texts(&share->masks)) +
				      json_object_set_new(object, "kept", json_boolean(share->kept));
	return result < 0 ? NULL : TAKE(object);
}

json_t *machine_shares_encode(const struct machine_shares *shares)
{
	auto_json json_t *list = json_array();

	for (size_t i = 0; list && i < shares->count; i++) {
		json_t *object = encode_share(&shares->items[i]);

		if (!object || json_array_append_new(list, object) < 0)
			return NULL;
	}
	return TAKE(list);
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

/* The part below a share's `key` ("source", "target"), or NULL. */
static const char *part(const json_t *share, const char *key, const char *path)
{
	const char *folder = text(share, key);

	return *folder == '/' ? path_below(folder, path) : NULL;
}

static bool is_hidden(const json_t *share, const char *below)
{
	const json_t *mask;
	size_t i;

	json_array_foreach(json_object_get(share, "masks"), i, mask)
	{
		if (json_is_string(mask) && machine_share_masked(json_string_value(mask), below))
			return true;
	}
	return false;
}

/* Is something else shared at this place, or around it, that lies over this share? */
static bool is_covered(const json_t *shares, const json_t *share, const char *place)
{
	const json_t *other;
	size_t i;

	json_array_foreach(shares, i, other)
	{
		const char *inner = part(share, "target", text(other, "target"));

		if (inner && *inner && part(other, "target", place))
			return true;
	}
	return false;
}

char *machine_shares_map(const json_t *shares, const char *host_path)
{
	auto_free char *found = NULL;
	size_t most = 0, i;
	const json_t *share;

	json_array_foreach(shares, i, share)
	{
		const char *below = part(share, "source", host_path);
		size_t weight = strlen(text(share, "source"));
		auto_free char *place = NULL;

		if (!below || strcmp(text(share, "type"), "folder") != 0 || is_hidden(share, below))
			continue;
		place = *below ? path_join(text(share, "target"), below) : strdup(text(share, "target"));
		if (!place)
			return NULL;
		if (strcmp(place, host_path) == 0)
			weight = SIZE_MAX;
		if (weight <= most || is_covered(shares, share, place))
			continue;
		free(found);
		found = TAKE(place);
		most = weight;
	}
	return TAKE(found);
}
