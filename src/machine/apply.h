#pragma once
#include "machine/setting.h"

#include "network/publish.h"

/*
 * What the values of settings are read by: each takes the text behind "key=" into its field of struct machine_settings.
 * USAGE with the reason, NOT_FOUND for what is to be removed and isn't there; the field is unchanged then. Nothing
 * blocks.
 */
struct setting {
	const char *key;
	const char *help;
	int (*apply)(const struct setting *setting, void *field, const char *value, struct annex_error **err);
	size_t offset;
	uint64_t lowest, highest; /* of numbers and sizes */
	const char *words;        /* of choices, with a bar between them */
	bool at_once;             /* nothing of the virtual machine depends on it */
};

MUST_USE int apply_bool(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_choice(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_environment(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_mask(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_network(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_number(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_publish(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_rule(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_size(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_target(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_text(const struct setting *setting, void *field, const char *value, struct annex_error **err);
MUST_USE int apply_volume(const struct setting *setting, void *field, const char *value, struct annex_error **err);

/* Is it one of them, with a bar between them? */
bool apply_is_one_of(const char *words, const char *value);
/* Lists are kept sorted, so that what was changed and changed back is what it was. */
typedef int compare_fn(const char *a, const char *b);
void apply_sort(struct text_list *list, compare_fn *compare);
int apply_compare_published(const char *a, const char *b); /* a compare_fn */
/* A rule in its one spelling; *ret is the caller's. */
MUST_USE int apply_read_rule(char **ret, const char *text, struct annex_error **err);
/* *ret: the one whose place it takes, or list->count. USAGE for one that needs a part of another's ports. */
MUST_USE int apply_find_published(size_t *ret, const struct text_list *list, const struct publish *publish,
				  struct annex_error **err);
