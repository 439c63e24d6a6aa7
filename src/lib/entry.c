/*
 * Images in the store, as others find them. Others may delete or prune an image at any time, or make it anew, and it is
 * in several files: so its record is looked for again when all of it was read, and its base is held.
 */
#include "lib/entry.h"

#include "base/file.h"
#include "lib/context.h"
#include "registry/reference.h"
#include "store/base.h"

#include <string.h>

void image_entry_clear(struct image_entry *entry)
{
	image_record_clear(&entry->record);
	image_config_clear(&entry->config);
	if (entry->hold > 0)
		close(entry->hold);
	*entry = (struct image_entry){0};
}

int entry_open_store(struct store **ret, struct annex_context *context, struct annex_error **err)
{
	auto_free char *folder = NULL;

	if (context_folder(&folder, context, "images", err) < 0)
		return -1;
	return store_open(ret, folder, err);
}

int entry_load_config(struct image_config *ret, struct store *store, const struct image_record *record,
		      struct annex_error **err)
{
	auto_free char *bytes = NULL;
	size_t size;

	if (catalog_read_blob(&bytes, &size, store, record->id, CONFIG_SIZE_LIMIT, err) < 0)
		return -1;
	return image_config_decode(ret, bytes, size, err);
}

void entry_wanted_clear(struct entry_wanted *wanted)
{
	free(wanted->name);
	free(wanted->id);
}

int entry_understand(struct entry_wanted *ret, const char *text, struct annex_error **err)
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

static int find(struct image_record *ret, struct store *store, const char *text, struct annex_error **err)
{
	auto_entry_wanted struct entry_wanted wanted = {0};
	auto_error struct annex_error *why = NULL;
	int result = entry_understand(&wanted, text, &why);

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

/* context NULL: without a hold. */
static int look_up(struct image_entry *ret, struct annex_context *context, struct store *store, const char *text,
		   struct annex_error **err)
{
	for (;;) {
		auto_image_entry struct image_entry entry = {0};
		auto_image_record struct image_record again = {0};
		auto_error struct annex_error *why = NULL;
		int result;

		if (find(&entry.record, store, text, err) < 0)
			return -1;
		if (context && base_hold(&entry.hold, store, entry.record.base, context_stops, context, err) < 0)
			return -1;
		result = entry_load_config(&entry.config, store, &entry.record, &why);
		if (find(&again, store, text, err) < 0)
			return -1;
		if (strcmp(again.id, entry.record.id) != 0 || strcmp(again.base, entry.record.base) != 0)
			continue;
		if (result < 0) {
			if (err)
				*err = TAKE(why);
			return -1;
		}
		*ret = entry;
		entry = (struct image_entry){0};
		return 0;
	}
}

int entry_find(struct image_entry *ret, struct store *store, const char *text, struct annex_error **err)
{
	return look_up(ret, NULL, store, text, err);
}

int entry_find_held(struct image_entry *ret, struct annex_context *context, struct store *store, const char *text,
		    struct annex_error **err)
{
	auto_image_entry struct image_entry entry = {0};

	if (look_up(&entry, context, store, text, err) < 0)
		return -1;
	if (!base_exists(store, entry.record.base)) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "the disk of image %s is missing", text);
		return fail_hint(err, "annex image pull %s", text);
	}
	*ret = entry;
	entry = (struct image_entry){0};
	return 0;
}
