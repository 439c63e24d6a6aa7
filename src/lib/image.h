#pragma once
#include "annex/image.h"

#include "base/text.h"
#include "lib/entry.h"

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

/* Takes the record and the configuration. */
MUST_USE int image_make(struct annex_image **ret, struct annex_context *context, struct store *store,
			struct image_entry *entry, struct annex_error **err);

/* The spelling for people of a name as the store has it; the caller frees it. NULL: out of memory. */
char *image_familiar(const char *name);

/* Remove base disks that neither an image nor a machine uses or is about to use. */
MUST_USE int image_collect(struct annex_context *context, struct annex_error **err);
