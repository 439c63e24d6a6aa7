/*
 * Each thing is looked at twice: once to choose it, and again while its base is held alone. Whoever makes a machine of
 * an image, or pulls or imports it, holds the base all the time, so what is held is passed by; and what is not used
 * while we hold it can't begin to be used until it is gone. The store's own lock is taken within (see store/store.h for
 * the order).
 */
#include "annex/image.h"

#include "lib/image.h"
#include "lib/uses.h"
#include "registry/reference.h"
#include "store/base-draft.h"
#include "store/catalog.h"

#include <stdio.h>
#include <string.h>

enum { SHORT_KEY = 12 };

struct prune {
	struct annex_context *context;
	struct store *store;
	const struct annex_image_prune_options *options;
	annex_image_pruned_fn *fn;
	void *data;
	struct text_list gone; /* ids: those that went, or would */
	uint64_t freed;
};

static void tell(struct prune *prune, const char *what, uint64_t bytes)
{
	prune->freed += bytes;
	if (prune->fn)
		prune->fn(what, bytes, prune->data);
}

static bool is_gone(const struct prune *prune, const char *id)
{
	for (size_t i = 0; i < prune->gone.count; i++) {
		if (strcmp(prune->gone.items[i], id) == 0)
			return true;
	}
	return false;
}

/* Its names, or its id. */
static char *name_of(const struct image_record *record)
{
	auto_text struct text text = {0};

	for (size_t i = 0; i < record->names.count; i++) {
		auto_reference struct reference reference = {0};
		auto_free char *name = NULL;

		if (reference_parse(&reference, record->names.items[i], NULL) == 0)
			name = reference_familiar(&reference);
		text_printf(&text, "%s%s", i ? ", " : "", name ? name : record->names.items[i]);
	}
	if (record->names.count == 0)
		text_add(&text, record->id);
	return text_take(&text);
}

static bool is_wanted(const struct prune *prune, const struct image_record *record, const struct uses *uses)
{
	if (!prune->options->all && record->names.count > 0)
		return true;
	return uses_image(uses, record->id, record->base);
}

/* Would the base stay with another image? */
static bool is_shared(const struct prune *prune, const struct catalog *catalog, const struct image_record *record)
{
	for (size_t i = 0; i < catalog->count; i++) {
		const struct image_record *other = &catalog->items[i];

		if (strcmp(other->base, record->base) == 0 && strcmp(other->id, record->id) != 0 &&
		    !is_gone(prune, other->id))
			return true;
	}
	return false;
}

/* -1: it is not there any more. */
static ssize_t find_id(const struct catalog *catalog, const char *id)
{
	for (size_t i = 0; i < catalog->count; i++) {
		if (strcmp(catalog->items[i].id, id) == 0)
			return (ssize_t)i;
	}
	return -1;
}

/* The caller holds its base alone. Somebody may have deleted the image meanwhile, and then has seen to its base. */
static int remove_image(struct prune *prune, const struct image_record *record, bool with_base,
			struct annex_error **err)
{
	auto_error struct annex_error *cause = NULL;
	int result;

	if (catalog_delete(prune->store, NULL, record->id, &cause) < 0) {
		if (annex_error_kind(cause) == ANNEX_ERROR_NOT_FOUND)
			return 0;
		if (err)
			*err = TAKE(cause);
		return -1;
	}
	result = with_base ? base_remove(prune->store, record->base) : 0;
	return result < 0 ? fail_os(err, result, "cannot remove a disk in %s/bases", prune->store->path) : 0;
}

static int prune_held_image(struct prune *prune, const char *id, struct annex_error **err)
{
	auto_catalog struct catalog catalog = {0};
	auto_uses struct uses uses = {0};
	auto_free char *what = NULL;
	const struct image_record *record;
	bool shared;
	uint64_t bytes;
	ssize_t at;

	if (catalog_list(&catalog, prune->store, err) < 0 || uses_load(&uses, prune->context, err) < 0)
		return -1;
	at = find_id(&catalog, id);
	if (at < 0 || is_wanted(prune, &catalog.items[at], &uses))
		return 0;
	record = &catalog.items[at];
	shared = is_shared(prune, &catalog, record);
	bytes = catalog_documents_size(prune->store, record) + (shared ? 0 : base_size(prune->store, record->base));
	what = name_of(record);
	if (!what || text_list_add(&prune->gone, id) < 0)
		return fail_memory(err);
	if (!prune->options->dry_run && remove_image(prune, record, !shared, err) < 0)
		return -1;
	tell(prune, what, bytes);
	return 0;
}

/* Passed by when somebody holds it. */
static int hold(int *ret, struct prune *prune, const char *key, struct annex_error **err)
{
	int result = base_try_hold_alone(ret, prune->store, key);

	if (result == 0 || result == -EWOULDBLOCK)
		return 0;
	return fail_os(err, result, "cannot lock a disk in %s/bases", prune->store->path);
}

static int prune_images(struct prune *prune, struct annex_error **err)
{
	auto_catalog struct catalog catalog = {0};
	auto_uses struct uses uses = {0};

	if (catalog_list(&catalog, prune->store, err) < 0 || uses_load(&uses, prune->context, err) < 0)
		return -1;
	for (size_t i = catalog.count; i-- > 0;) {
		auto_close int held = -EBADF;
		const struct image_record *record = &catalog.items[i];

		if (is_wanted(prune, record, &uses))
			continue;
		if (context_check_cancelled(prune->context, err) < 0 || hold(&held, prune, record->base, err) < 0)
			return -1;
		if (held >= 0 && prune_held_image(prune, record->id, err) < 0)
			return -1;
	}
	return 0;
}

/* Left when an image was deleted while something held its base. The caller holds it alone. */
static int prune_held_base(struct prune *prune, const char *key, struct annex_error **err)
{
	auto_catalog struct catalog catalog = {0};
	auto_uses struct uses uses = {0};
	uint64_t bytes;
	char what[64];
	int result;

	if (catalog_list(&catalog, prune->store, err) < 0 || uses_load(&uses, prune->context, err) < 0)
		return -1;
	for (size_t i = 0; i < catalog.count; i++) {
		if (strcmp(catalog.items[i].base, key) == 0)
			return 0;
	}
	if (uses_base(&uses, key) || !base_exists(prune->store, key))
		return 0;
	bytes = base_size(prune->store, key);
	result = prune->options->dry_run ? 0 : base_remove(prune->store, key);
	if (result < 0)
		return fail_os(err, result, "cannot remove a disk in %s/bases", prune->store->path);
	snprintf(what, sizeof(what), "disk %.*s of no image", SHORT_KEY, key);
	tell(prune, what, bytes);
	return 0;
}

static int list_base(const char *name, void *data)
{
	char key[BASE_KEY_TEXT];

	return base_key_of_file(key, name, BASE_DISK) ? text_list_add(data, key) : 0;
}

static int prune_bases(struct prune *prune, struct annex_error **err)
{
	auto_text_list struct text_list keys = {0};
	int result = store_each_name(prune->store->bases, list_base, &keys);

	if (result < 0)
		return fail_os(err, result, "cannot read %s/bases", prune->store->path);
	for (size_t i = 0; i < keys.count; i++) {
		auto_close int held = -EBADF;

		if (hold(&held, prune, keys.items[i], err) < 0)
			return -1;
		if (held >= 0 && prune_held_base(prune, keys.items[i], err) < 0)
			return -1;
	}
	return 0;
}

static int prune_draft(struct prune *prune, const struct base_draft_info *draft, struct annex_error **err)
{
	auto_free char *what = NULL;
	uint64_t bytes = draft->size;
	int result = 0;

	if (draft->title ? asprintf(&what, "unfinished download of %s", draft->title) < 0
			 : asprintf(&what, "unfinished download %.*s", SHORT_KEY, draft->key) < 0) {
		what = NULL;
		return fail_memory(err);
	}
	if (!prune->options->dry_run)
		result = base_draft_remove(&bytes, prune->store, draft->key, false);
	if (result < 0 && result != -EWOULDBLOCK)
		return fail_os(err, result, "cannot remove the %s", what);
	if (result == 0 && bytes > 0)
		tell(prune, what, bytes);
	return 0;
}

static int prune_drafts(struct prune *prune, struct annex_error **err)
{
	auto_base_draft_list struct base_draft_list drafts = {0};

	if (base_draft_list(&drafts, prune->store, err) < 0)
		return -1;
	for (size_t i = 0; i < drafts.count; i++) {
		if (!drafts.items[i].is_held && prune_draft(prune, &drafts.items[i], err) < 0)
			return -1;
	}
	return 0;
}

API int annex_image_prune(struct annex_context *context, const struct annex_image_prune_options *options,
			  annex_image_pruned_fn *fn, void *data, uint64_t *ret_freed, struct annex_error **err)
{
	struct annex_image_prune_options chosen = ANNEX_IMAGE_PRUNE_OPTIONS_INIT;
	struct prune prune = {.context = context, .options = &chosen, .fn = fn, .data = data};
	auto_free char *folder = NULL;
	auto_store struct store *store = NULL;
	int result;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	if (context_folder(&folder, context, "images", err) < 0 || store_open(&store, folder, err) < 0)
		return -1;
	prune.store = store;
	result = prune_images(&prune, err);
	if (result == 0)
		result = prune_bases(&prune, err);
	if (result == 0)
		result = prune_drafts(&prune, err);
	if (result == 0 && !chosen.dry_run)
		result = image_collect(context, err);
	text_list_clear(&prune.gone);
	if (result == 0 && ret_freed)
		*ret_freed = prune.freed;
	return result < 0 ? fail_while(err, "cannot prune images") : 0;
}
