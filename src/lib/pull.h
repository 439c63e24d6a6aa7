#pragma once
#include "lib/entry.h"
#include "registry/client.h"

struct annex_context;

/* An image from a registry. */
struct pull_request {
	struct annex_context *context;
	struct store *store;
	const char *reference; /* as the user wrote it */
	const char *platform;  /* NULL: the host's */
	const char *scheme;    /* NULL: auto */
};

/* "auto", "https", "http"; NULL: auto. USAGE. */
MUST_USE int pull_scheme(enum registry_scheme *ret, const char *text, struct annex_error **err);

/* When the image that is here is the one that the name leads to, that costs one request, and *ret_changed is false.
 * The name that was pulled is the first of the image's; its base is held. Blocks, reports, can be cancelled. */
MUST_USE int pull_image(struct image_entry *ret, bool *ret_changed, const struct pull_request *request,
			struct annex_error **err);
