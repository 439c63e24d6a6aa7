#pragma once
#include "annex/image.h"

#include "base/error.h"
#include "lib/entry.h"

/* From a source to a record in the store with its base disk. */

/* Its base is held. Blocks, reports, can be cancelled. */
MUST_USE int import_image(struct image_entry *ret, struct annex_context *context, struct store *store, const char *spec,
			  const struct annex_image_import_options *options, struct annex_error **err);
