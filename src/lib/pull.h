#pragma once
#include "registry/client.h"
#include "store/catalog.h"

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
 * *ret_hold keeps the base disk until it is closed. Blocks, reports, can be cancelled. */
MUST_USE int pull_image(struct image_record *ret, int *ret_hold, bool *ret_changed, const struct pull_request *request,
			struct annex_error **err);
