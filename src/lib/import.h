#pragma once
#include "annex/image.h"

#include "base/error.h"
#include "store/catalog.h"

/* From a source to a record in the store with its base disk. */

/* *ret_hold keeps the base disk until it is closed. Blocks, reports, can be cancelled. */
MUST_USE int import_image(struct image_record *ret, int *ret_hold, struct annex_context *context, struct store *store,
			  const char *spec, const struct annex_image_import_options *options, struct annex_error **err);
