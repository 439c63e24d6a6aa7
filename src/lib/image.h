#pragma once
#include "annex/image.h"

#include "base/text.h"
#include "registry/manifest.h"
#include "store/catalog.h"

struct annex_context;

struct annex_image {
	struct annex_context *context;
	struct image_record record;
	struct image_config config;
	struct text_list names; /* familiar */
	char *base_path;
	uint64_t size;
};
static inline void cleanup_image(struct annex_image **image)
{
	annex_image_unref(*image);
}
#define auto_image CLEANUP(cleanup_image)

MUST_USE int image_open_store(struct store **ret, struct annex_context *context, struct annex_error **err);
/* By what a user calls it. NOT_FOUND, or USAGE when it can't be a name, with a hint. */
MUST_USE int image_find(struct image_record *ret, struct store *store, const char *text, struct annex_error **err);
/* The same, with its base held. The image may be deleted or pruned until then, and made anew: so it is looked for again
 * while nobody can take the base away. NOT_FOUND also when the base is missing. */
MUST_USE int image_find_held(struct image_record *ret, int *ret_hold, struct annex_context *context,
			     struct store *store, const char *text, struct annex_error **err);
/* Takes the contents of the record. */
MUST_USE int image_make(struct annex_image **ret, struct annex_context *context, struct store *store,
			struct image_record *record, struct annex_error **err);

/* Remove base disks that neither an image nor a machine uses or is about to use. */
MUST_USE int image_collect(struct annex_context *context, struct annex_error **err);
