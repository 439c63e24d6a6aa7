/*
 * Depth first, in two passes over each index. First the entry whose declared platform fits best; then those that
 * declare none: indexes, and manifests whose configuration has to be asked. An entry that can't be understood (an
 * artifact beside the images) is an error only if nothing else fits; then its error is the one worth telling.
 */
#include "registry/resolve.h"

#include "base/digest.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { NOT_HERE = 0, FOUND = 1 };

struct search {
	const struct platform *wanted;
	resolve_fetch_fn *fetch;
	void *data;
	unsigned documents;
	struct text_list seen; /* platforms that did not fit */
	struct annex_error *first;
	struct image_manifest *result;
};

static int note_platform(struct search *search, const struct platform *platform)
{
	char buffer[PLATFORM_LIMIT];

	platform_text(buffer, platform);
	for (size_t i = 0; i < search->seen.count; i++) {
		if (strcmp(search->seen.items[i], buffer) == 0)
			return 0;
	}
	return text_list_add(&search->seen, buffer);
}

static int fetch(char **ret, size_t *ret_size, struct search *search, const struct descriptor *wanted, size_t limit,
		 const char *what, struct annex_error **err)
{
	char digest[DIGEST_TEXT];
	auto_free char *bytes = NULL;
	size_t size = 0;

	if (++search->documents > RESOLVE_DOCUMENT_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "the image's index leads to more than %u documents",
			    RESOLVE_DOCUMENT_LIMIT);
	if (wanted->size > limit)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s %s: larger than %zu MiB", what, wanted->digest, limit >> 20);
	if (wanted->data) {
		bytes = malloc(wanted->size + 1);
		if (!bytes)
			return fail_memory(err);
		size = wanted->size;
		memcpy(bytes, wanted->data, size);
		bytes[size] = '\0';
	} else if (search->fetch(&bytes, &size, wanted, limit, search->data, err) < 0) {
		return -1;
	}
	if (size != wanted->size)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s %s: %zu bytes, not %llu", what, wanted->digest, size,
			    (unsigned long long)wanted->size);
	digest_of(digest, bytes, size);
	if (strcmp(digest, wanted->digest) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s %s: the digest of its contents is %s", what, wanted->digest,
			    digest);
	*ret = TAKE(bytes);
	*ret_size = size;
	return 0;
}

static int copy_extras(struct image_layer *into, const struct descriptor *item)
{
	if (item->data) {
		into->data = malloc(item->size + 1);
		if (!into->data)
			return -ENOMEM;
		memcpy(into->data, item->data, item->size);
		into->data[item->size] = '\0';
	}
	for (size_t i = 0; i < item->urls.count; i++) {
		if (text_list_add(&into->urls, item->urls.items[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_layers(struct image_manifest *into, const struct document *document, struct annex_error **err)
{
	const struct text_list *diff_ids = &into->config.diff_ids;

	if (document->count == 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "the image has no layers");
	if (document->count != diff_ids->count)
		return fail(err, ANNEX_ERROR_CORRUPT,
			    "the manifest has %zu layers, but the image's configuration has %zu", document->count,
			    diff_ids->count);
	into->layers = calloc(document->count, sizeof(*into->layers));
	if (!into->layers)
		return fail_memory(err);
	into->layer_count = document->count;
	for (size_t i = 0; i < document->count; i++) {
		const struct descriptor *item = &document->items[i];
		const struct media_type *type;

		if (media_expect(&type, item->media_type, MEDIA_LAYER, err) < 0)
			return -1;
		into->layers[i] = (struct image_layer){.digest = strdup(item->digest),
						       .diff_id = strdup(diff_ids->items[i]),
						       .size = item->size,
						       .compression = type->compression};
		if (!into->layers[i].digest || !into->layers[i].diff_id || copy_extras(&into->layers[i], item) < 0)
			return fail_memory(err);
	}
	return 0;
}

int resolve_assemble(struct image_manifest *ret, const struct document *document, char *config_bytes,
		     size_t config_size, struct annex_error **err)
{
	auto_image_manifest struct image_manifest made = {.config_bytes = config_bytes, .config_size = config_size};

	assert(document->type->kind == MEDIA_MANIFEST);
	made.config_digest = strdup(document->config.digest);
	if (!made.config_digest)
		return fail_memory(err);
	if (image_config_decode(&made.config, config_bytes, config_size, err) < 0)
		return -1;
	made.platform = made.config.platform;
	if (add_layers(&made, document, err) < 0)
		return -1;
	*ret = made;
	made = (struct image_manifest){0};
	return 0;
}

/* What the entry says itself counts; else what the configuration says. */
static int open_manifest(struct search *search, const struct descriptor *entry, const struct document *document,
			 char **bytes, size_t size, struct annex_error **err)
{
	auto_image_manifest struct image_manifest made = {0};
	auto_free char *config = NULL;
	size_t config_size = 0;

	if (fetch(&config, &config_size, search, &document->config, CONFIG_SIZE_LIMIT, "image configuration", err) < 0)
		return -1;
	if (resolve_assemble(&made, document, TAKE(config), config_size, err) < 0)
		return -1;
	if (*entry->platform.architecture)
		made.platform = entry->platform;
	if (platform_match(search->wanted, &made.platform) == 0)
		return note_platform(search, &made.platform) < 0 ? fail_memory(err) : NOT_HERE;
	made.digest = strdup(entry->digest);
	if (!made.digest)
		return fail_memory(err);
	made.bytes = TAKE(*bytes);
	made.size = size;
	*search->result = made;
	made = (struct image_manifest){0};
	return FOUND;
}

static int search_entries(struct search *search, const struct descriptor *entries, size_t count, unsigned depth,
			  size_t *ret_entry, struct annex_error **err);

static int open_entry(struct search *search, const struct descriptor *entry, unsigned depth, struct annex_error **err)
{
	auto_document struct document document = {0};
	auto_free char *bytes = NULL;
	size_t size = 0, which;
	const struct media_type *type;

	if (entry->media_type && media_find(&type, entry->media_type, err) < 0)
		return -1;
	if (fetch(&bytes, &size, search, entry, MANIFEST_SIZE_LIMIT, "manifest", err) < 0)
		return -1;
	if (document_decode(&document, bytes, size, entry->media_type, err) < 0)
		return -1;
	if (document.type->kind == MEDIA_MANIFEST)
		return open_manifest(search, entry, &document, &bytes, size, err);
	if (depth >= RESOLVE_DEPTH_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "indexes are nested more than %u deep", RESOLVE_DEPTH_LIMIT);
	return search_entries(search, document.items, document.count, depth + 1, &which, err);
}

/* Entries that are not understood are put aside. */
static int try_entry(struct search *search, const struct descriptor *entry, unsigned depth, struct annex_error **err)
{
	auto_error struct annex_error *why = NULL;
	int result = open_entry(search, entry, depth, &why);

	if (result >= 0)
		return result;
	if (annex_error_kind(why) == ANNEX_ERROR_UNSUPPORTED) {
		if (!search->first)
			search->first = TAKE(why);
		return NOT_HERE;
	}
	if (err)
		*err = TAKE(why);
	return -1;
}

static bool is_undeclared(const struct descriptor *entry)
{
	return !*entry->platform.os && !*entry->platform.architecture && !entry->attestation;
}

static int search_entries(struct search *search, const struct descriptor *entries, size_t count, unsigned depth,
			  size_t *ret_entry, struct annex_error **err)
{
	unsigned best_match = 0;
	size_t best = 0;
	int result;

	for (size_t i = 0; i < count; i++) {
		unsigned match = entries[i].attestation ? 0 : platform_match(search->wanted, &entries[i].platform);

		if (match > best_match) {
			best_match = match;
			best = i;
		} else if (match == 0 && !is_undeclared(&entries[i]) && !entries[i].attestation &&
			   strcmp(entries[i].platform.os, "unknown") != 0 &&
			   note_platform(search, &entries[i].platform) < 0) {
			return fail_memory(err);
		}
	}
	if (best_match) {
		result = try_entry(search, &entries[best], depth, err);
		*ret_entry = best;
		if (result != NOT_HERE)
			return result;
	}
	for (size_t i = 0; i < count; i++) {
		if (!is_undeclared(&entries[i]))
			continue;
		result = try_entry(search, &entries[i], depth, err);
		*ret_entry = i;
		if (result != NOT_HERE)
			return result;
	}
	return NOT_HERE;
}

static int not_found(struct search *search, struct annex_error **err)
{
	char buffer[PLATFORM_LIMIT];
	auto_text struct text seen = {0};

	if (search->first) {
		if (err)
			*err = TAKE(search->first);
		return -1;
	}
	if (search->seen.count == 0)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no image in it");
	for (size_t i = 0; i < search->seen.count && i < 32; i++)
		text_printf(&seen, "%s%s", i ? ", " : "", search->seen.items[i]);
	if (!text_ok(&seen))
		return fail_memory(err);
	fail(err, ANNEX_ERROR_NOT_FOUND, "there is no image for %s; there is %s", platform_text(buffer, search->wanted),
	     seen.data);
	return fail_hint(err, "--platform %s", search->seen.items[0]);
}

int resolve_manifest(struct image_manifest *ret, const struct descriptor *roots, size_t count,
		     const struct platform *wanted, resolve_fetch_fn *fetch_fn, void *data, struct annex_error **err)
{
	struct image_manifest made = {0};
	struct search search = {.wanted = wanted, .fetch = fetch_fn, .data = data, .result = &made};
	size_t entry = 0;
	int result = search_entries(&search, roots, count, 0, &entry, err);

	if (result == NOT_HERE)
		result = not_found(&search, err);
	text_list_clear(&search.seen);
	annex_error_free(search.first);
	if (result != FOUND)
		return -1;
	made.entry = entry;
	*ret = made;
	return 0;
}

void image_manifest_clear(struct image_manifest *manifest)
{
	free(manifest->digest);
	free(manifest->bytes);
	free(manifest->config_digest);
	free(manifest->config_bytes);
	image_config_clear(&manifest->config);
	for (size_t i = 0; i < manifest->layer_count; i++) {
		free(manifest->layers[i].digest);
		free(manifest->layers[i].diff_id);
		free(manifest->layers[i].data);
		text_list_clear(&manifest->layers[i].urls);
	}
	free(manifest->layers);
	*manifest = (struct image_manifest){0};
}
