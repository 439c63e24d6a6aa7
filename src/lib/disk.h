#pragma once
#include "base/error.h"
#include "registry/client.h"
#include "registry/source.h"
#include "store/base.h"

struct annex_context;

/* What the base disk of an image is made from. All is borrowed. */
struct disk_request {
	struct annex_context *context;
	struct store *store;
	struct image_manifest *manifest;
	const char *key;   /* of the base, by base_key() */
	const char *title; /* for people: "debian:12" */
	const char *text;  /* of reports: "pulling debian:12" */
	/* Where the blobs of layers are, one of the two: */
	struct image_source *source;
	struct registry_client *client; /* with the repository of `reference` */
	const struct reference *reference;
};

/* The base is there, or is made, and is held until *ret_hold is closed. Layers that other bases have are copied from
 * them, those that an interrupted try left are kept. Blocks; reports step "pull" or "disk"; can be cancelled. */
MUST_USE int disk_need(int *ret_hold, const struct disk_request *request, struct annex_error **err);
