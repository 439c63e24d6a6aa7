#pragma once
#include "registry/manifest.h"
#include "store/catalog.h"

struct annex_context;

/* An image that is in the store. */
struct image_entry {
	struct image_record record;
	struct image_config config;
	int hold; /* keeps its base disk; 0: nothing does */
};
void image_entry_clear(struct image_entry *entry);
#define auto_image_entry CLEANUP(image_entry_clear)

MUST_USE int entry_open_store(struct store **ret, struct annex_context *context, struct annex_error **err);

/* What a user's text stands for: a name in normalised spelling (NULL: it can only be an id), and a digest or an id. */
struct entry_wanted {
	char *name;
	char *id;
};
void entry_wanted_clear(struct entry_wanted *wanted);
#define auto_entry_wanted CLEANUP(entry_wanted_clear)
/* USAGE. */
MUST_USE int entry_understand(struct entry_wanted *ret, const char *text, struct annex_error **err);

/* By what a user calls it; its base is not held. NOT_FOUND, or USAGE when it can't be a name, with a hint. */
MUST_USE int entry_find(struct image_entry *ret, struct store *store, const char *text, struct annex_error **err);
/* The same, with its base held. NOT_FOUND also when the base is missing. Waits for who makes or removes the base. */
MUST_USE int entry_find_held(struct image_entry *ret, struct annex_context *context, struct store *store,
			     const char *text, struct annex_error **err);

MUST_USE int entry_load_config(struct image_config *ret, struct store *store, const struct image_record *record,
			       struct annex_error **err);
