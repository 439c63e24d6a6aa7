/*
 * Each record is written by rename, so readers need no lock; whoever changes something holds the store's. A name that
 * moves from one image to another is written to the new one first: an interruption in between leaves it on both, and
 * then the image with the higher sequence has it, for readers at once, on disk from the next change on.
 */
#include "store/catalog.h"

#include "base/digest.h"
#include "base/file.h"
#include "store/base-draft.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RECORD_NAME 72 /* "HEX.json" with the NUL */

static bool is_hex(const char *text, size_t size)
{
	return strspn(text, "0123456789abcdef") >= size;
}

static bool is_record_name(const char *name)
{
	return is_hex(name, 64) && strcmp(name + 64, ".json") == 0;
}

static void record_name(char name[RECORD_NAME], const char *id)
{
	snprintf(name, RECORD_NAME, "%.64s.json", digest_hex(id));
}

void catalog_clear(struct catalog *catalog)
{
	for (size_t i = 0; i < catalog->count; i++)
		image_record_clear(&catalog->items[i]);
	free(catalog->items);
	*catalog = (struct catalog){0};
}

struct listing {
	struct store *store;
	struct catalog catalog;
	struct annex_error **err;
};

static int load(struct image_record *ret, struct store *store, const char *name, struct annex_error **err)
{
	auto_json json_t *value = NULL;

	if (json_read_file(&value, store->records, name, err) < 0)
		return -1;
	return image_record_decode(ret, value, name, err);
}

static int list_one(const char *name, void *data)
{
	struct listing *listing = data;
	struct catalog *catalog = &listing->catalog;
	auto_error struct annex_error *why = NULL;
	struct image_record *grown;

	if (!is_record_name(name))
		return 0;
	grown = reallocarray(catalog->items, catalog->count + 1, sizeof(*grown));
	if (!grown) {
		fail_memory(listing->err);
		return 1;
	}
	catalog->items = grown;
	grown[catalog->count] = (struct image_record){0};
	if (load(&grown[catalog->count], listing->store, name, &why) == 0) {
		catalog->count++;
		return 0;
	}
	if (annex_error_kind(why) == ANNEX_ERROR_NOT_FOUND) /* deleted since the folder was read */
		return 0;
	fail_while(&why, "image store");
	fail_hint(&why, "to do without this image: rm '%s/records/%s'", listing->store->path, name);
	if (listing->err)
		*listing->err = TAKE(why);
	return 1;
}

static int by_sequence(const void *a, const void *b)
{
	const struct image_record *one = a, *other = b;

	if (one->sequence != other->sequence)
		return one->sequence < other->sequence ? 1 : -1;
	return strcmp(one->id, other->id);
}

/* Names that a later import has are not this one's. Returns whether there were any. */
static bool drop_lost_names(const struct catalog *catalog, size_t index)
{
	struct image_record *record = &catalog->items[index];
	bool dropped = false;

	for (size_t i = record->names.count; i-- > 0;) {
		for (size_t j = 0; j < index; j++) {
			if (image_record_find_name(&catalog->items[j], record->names.items[i]) < 0)
				continue;
			image_record_drop_name(record, i);
			dropped = true;
			break;
		}
	}
	return dropped;
}

/* As they are on disk, latest import first. */
static int load_all(struct catalog *ret, struct store *store, struct annex_error **err)
{
	struct listing listing = {.store = store, .err = err};
	int result = store_each_name(store->records, list_one, &listing);

	if (result != 0) {
		catalog_clear(&listing.catalog);
		return result < 0 ? fail_os(err, result, "cannot read %s/records", store->path) : -1;
	}
	if (listing.catalog.count)
		qsort(listing.catalog.items, listing.catalog.count, sizeof(*listing.catalog.items), by_sequence);
	*ret = listing.catalog;
	return 0;
}

int catalog_list(struct catalog *ret, struct store *store, struct annex_error **err)
{
	if (load_all(ret, store, err) < 0)
		return -1;
	for (size_t i = 1; i < ret->count; i++)
		drop_lost_names(ret, i);
	return 0;
}

static int save(struct store *store, const struct image_record *record, struct annex_error **err)
{
	auto_json json_t *value = image_record_encode(record);
	char name[RECORD_NAME];

	if (!value)
		return fail_memory(err);
	record_name(name, record->id);
	return json_write_file(store->records, name, value, err) < 0 ? fail_while(err, "image store") : 0;
}

/* To change something: the store's lock, and the records with what an interruption left put right on disk. */
static int begin_change(int *ret_lock, struct catalog *ret, struct store *store, struct annex_error **err)
{
	if (store_lock(ret_lock, store, err) < 0 || load_all(ret, store, err) < 0)
		return -1;
	for (size_t i = 1; i < ret->count; i++) {
		if (drop_lost_names(ret, i) && save(store, &ret->items[i], err) < 0)
			return -1;
	}
	return 0;
}

static int write_blob(struct store *store, const struct catalog_blob *blob, struct annex_error **err)
{
	int result = file_write_atomic(store->blobs, digest_hex(blob->digest), blob->bytes, blob->size, 0600);

	return result < 0 ? fail_os(err, result, "cannot write to %s/blobs", store->path) : 0;
}

/* Names of the image that is there already, behind the new ones. Where a new one leads, this import knows. */
static int keep_names(struct image_record *record, const struct image_record *old, struct annex_error **err)
{
	for (size_t i = 0; i < old->names.count; i++) {
		const char *name = old->names.items[i], *root = image_record_root(old, name);

		if (image_record_find_name(record, name) >= 0)
			continue;
		if (text_list_add(&record->names, name) < 0 || (root && image_record_set_root(record, name, root) < 0))
			return fail_memory(err);
	}
	return 0;
}

/* Take the record's names away from all others on disk. */
static int move_names(struct store *store, struct catalog *catalog, const struct image_record *record,
		      struct annex_error **err)
{
	for (size_t i = 0; i < catalog->count; i++) {
		struct image_record *other = &catalog->items[i];
		bool changed = false;

		if (strcmp(other->id, record->id) == 0)
			continue;
		for (size_t j = other->names.count; j-- > 0;) {
			if (image_record_find_name(record, other->names.items[j]) < 0)
				continue;
			image_record_drop_name(other, j);
			changed = true;
		}
		if (changed && save(store, other, err) < 0)
			return -1;
	}
	return 0;
}

int catalog_add(struct store *store, struct image_record *record, const struct catalog_blob *blobs, size_t count,
		struct annex_error **err)
{
	auto_catalog struct catalog catalog = {0};
	auto_close int lock = -EBADF;

	assert(digest_is_valid(record->id) && digest_is_valid(record->digest));
	if (begin_change(&lock, &catalog, store, err) < 0)
		return -1;
	record->version = IMAGE_RECORD_VERSION;
	record->sequence = catalog.count ? catalog.items[0].sequence + 1 : 1;
	for (size_t i = 0; i < catalog.count; i++) {
		if (strcmp(catalog.items[i].id, record->id) == 0 && keep_names(record, &catalog.items[i], err) < 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++) {
		if (write_blob(store, &blobs[i], err) < 0)
			return -1;
	}
	if (save(store, record, err) < 0)
		return -1;
	return move_names(store, &catalog, record, err);
}

static void take(struct image_record *ret, struct catalog *catalog, size_t index)
{
	assert(catalog->items && index < catalog->count);
	*ret = catalog->items[index];
	catalog->items[index] = (struct image_record){0};
}

static bool has_root(const struct image_record *record, const char *hex)
{
	char digest[DIGEST_TEXT];

	snprintf(digest, sizeof(digest), "sha256:%.64s", hex);
	return image_record_has_root(record, digest);
}

/* The position of what is searched, or -1. *ret_by_name: it was found by name. */
static ssize_t search(bool *ret_by_name, const struct catalog *catalog, const char *name, const char *text,
		      struct annex_error **err)
{
	const char *start = text_starts(text, "sha256:") ? digest_hex(text) : text;
	size_t length = strlen(start);
	bool may_be_id = length >= CATALOG_ID_SHORTEST && length <= 64 && is_hex(start, length);
	ssize_t found = -1;

	assert(text);
	*ret_by_name = true;
	for (size_t i = 0; name && i < catalog->count; i++) {
		if (image_record_find_name(&catalog->items[i], name) >= 0)
			return (ssize_t)i;
	}
	*ret_by_name = false;
	for (size_t i = 0; may_be_id && i < catalog->count; i++) {
		if (strcmp(digest_hex(catalog->items[i].digest), start) == 0 || has_root(&catalog->items[i], start))
			return (ssize_t)i;
		if (!text_starts(digest_hex(catalog->items[i].id), start))
			continue;
		if (found >= 0) {
			fail(err, ANNEX_ERROR_USAGE, "several images have an id that starts with %s", start);
			fail_hint(err, "annex image list");
			return -1;
		}
		found = (ssize_t)i;
	}
	if (found < 0) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "image %.200s is not here", text);
		if (may_be_id)
			fail_hint(err, "annex image list");
		else
			fail_hint(err, "annex image pull %.200s", text);
	}
	return found;
}

int catalog_find(struct image_record *ret, struct store *store, const char *name, const char *text,
		 struct annex_error **err)
{
	auto_catalog struct catalog catalog = {0};
	ssize_t found;
	bool by_name;

	if (catalog_list(&catalog, store, err) < 0)
		return -1;
	found = search(&by_name, &catalog, name, text, err);
	if (found < 0)
		return -1;
	take(ret, &catalog, (size_t)found);
	return 0;
}

int catalog_delete(struct store *store, const char *name, const char *text, struct annex_error **err)
{
	auto_catalog struct catalog catalog = {0};
	auto_close int lock = -EBADF;
	struct image_record *record;
	char file[RECORD_NAME];
	ssize_t found;
	bool by_name;
	int result;

	if (begin_change(&lock, &catalog, store, err) < 0)
		return -1;
	found = search(&by_name, &catalog, name, text, err);
	if (found < 0)
		return -1;
	record = &catalog.items[found];
	if (by_name && record->names.count > 1) {
		image_record_drop_name(record, (size_t)image_record_find_name(record, name));
		return save(store, record, err);
	}
	record_name(file, record->id);
	if (unlinkat(store->records, file, 0) < 0)
		return fail_os(err, errno, "cannot remove %s/records/%s", store->path, file);
	result = file_sync_folder(store->records, ".");
	return result < 0 ? fail_os(err, result, "cannot sync %s/records", store->path) : 0;
}

int catalog_read_blob(char **ret, size_t *ret_size, struct store *store, const char *digest, size_t limit,
		      struct annex_error **err)
{
	auto_free char *bytes = NULL;
	char actual[DIGEST_TEXT];
	size_t size = 0;
	int result = file_read(&bytes, &size, store->blobs, digest_hex(digest), limit);

	if (result < 0)
		return fail_os(err, result, "image store: cannot read blob %s", digest);
	digest_of(actual, bytes, size);
	if (strcmp(actual, digest) != 0) {
		fail(err, ANNEX_ERROR_CORRUPT, "image store: blob %s is damaged", digest);
		return fail_hint(err, "import the image again");
	}
	*ret = TAKE(bytes);
	*ret_size = size;
	return 0;
}

uint64_t catalog_documents_size(const struct store *store, const struct image_record *record)
{
	char name[RECORD_NAME];

	record_name(name, record->id);
	return file_tree_size(store->records, name) + file_tree_size(store->blobs, digest_hex(record->id)) +
	       file_tree_size(store->blobs, digest_hex(record->digest));
}

struct collection {
	struct store *store;
	const struct catalog *catalog;
	catalog_in_use_fn *in_use;
	void *data;
};

static int collect_record(const char *name, void *data)
{
	struct collection *collection = data;

	if (!is_record_name(name) && unlinkat(collection->store->records, name, 0) < 0)
		return -errno;
	return 0;
}

static int collect_blob(const char *name, void *data)
{
	struct collection *collection = data;

	for (size_t i = 0; i < collection->catalog->count; i++) {
		const struct image_record *record = &collection->catalog->items[i];

		if (strcmp(digest_hex(record->id), name) == 0 || strcmp(digest_hex(record->digest), name) == 0)
			return 0;
	}
	return unlinkat(collection->store->blobs, name, 0) < 0 ? -errno : 0;
}

static int collect_base(const char *name, void *data)
{
	struct collection *collection = data;
	auto_close int hold = -EBADF;
	char key[BASE_KEY_TEXT];
	int result;

	if (!base_key_of_file(key, name, BASE_DISK))
		return 0;
	for (size_t i = 0; i < collection->catalog->count; i++) {
		if (strcmp(collection->catalog->items[i].base, key) == 0)
			return 0;
	}
	result = base_try_hold_alone(&hold, collection->store, key);
	if (result == -EWOULDBLOCK)
		return 0;
	if (result < 0 || collection->in_use(key, collection->data))
		return result;
	return base_remove(collection->store, key);
}

/* Drafts that somebody may go on with stay. */
static int collect_drafts(struct store *store, struct annex_error **err)
{
	auto_base_draft_list struct base_draft_list drafts = {0};
	uint64_t size;

	if (base_draft_list(&drafts, store, err) < 0)
		return -1;
	for (size_t i = 0; i < drafts.count; i++) {
		int result = drafts.items[i].is_stale ? base_draft_remove(&size, store, drafts.items[i].key, true) : 0;

		if (result < 0 && result != -EWOULDBLOCK)
			return fail_os(err, result, "cannot clean up %s", store->path);
	}
	return 0;
}

int catalog_collect(struct store *store, catalog_in_use_fn *in_use, void *data, struct annex_error **err)
{
	auto_catalog struct catalog catalog = {0};
	auto_close int lock = -EBADF;
	struct collection collection = {.store = store, .catalog = &catalog, .in_use = in_use, .data = data};
	int result;

	if (begin_change(&lock, &catalog, store, err) < 0)
		return -1;
	result = store_each_name(store->records, collect_record, &collection);
	if (result == 0)
		result = store_each_name(store->blobs, collect_blob, &collection);
	if (result == 0)
		result = store_each_name(store->bases, collect_base, &collection);
	if (result < 0)
		return fail_os(err, result, "cannot clean up %s", store->path);
	return collect_drafts(store, err);
}
