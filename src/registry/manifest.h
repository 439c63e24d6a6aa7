#pragma once
#include "base/error.h"
#include "base/text.h"
#include "json/json.h"
#include "registry/media.h"
#include "registry/platform.h"

/*
 * The documents that make up an image: index, manifest, configuration. Pure decoding; what it accepts is complete and
 * within these limits. Digests are SHA-256 in text form.
 */
#define MANIFEST_SIZE_LIMIT  (4u << 20) /* bytes of an index or a manifest */
#define CONFIG_SIZE_LIMIT    (8u << 20)
#define MANIFEST_LAYER_LIMIT 512u
#define INDEX_LIMIT          1024u        /* entries of one index */
#define LAYER_SIZE_LIMIT     (1ull << 40) /* bytes of one compressed layer */
#define URL_COUNT_LIMIT      16u          /* addresses of one layer */

struct descriptor {
	char *media_type; /* NULL where a registry or an old index leaves it out */
	char *digest;
	uint64_t size;
	struct platform platform; /* all "" when not said */
	char *ref_name;           /* annotation org.opencontainers.image.ref.name, or NULL */
	char *image_name;         /* annotation io.containerd.image.name, or NULL */
	bool attestation;         /* a provenance document of BuildKit's, not an image */
	char *data;               /* the contents, `size` bytes of this digest, where they are embedded; else NULL */
	struct text_list urls;    /* where else they are, of layers that registries may not have */
};

struct document {
	const struct media_type *type; /* of kind MEDIA_INDEX or MEDIA_MANIFEST */
	struct descriptor config;      /* of a manifest */
	struct descriptor *items;      /* an index's entries or a manifest's layers, bottom first */
	size_t count;
};

/* media_type: what the document was said to be, or NULL; it must agree with what it says itself. CORRUPT, or
 * UNSUPPORTED for unknown media types, Docker's schema 1 and artifacts. */
MUST_USE int document_decode(struct document *ret, const char *bytes, size_t size, const char *media_type,
			     struct annex_error **err);
void document_clear(struct document *document);
#define auto_document CLEANUP(document_clear)

struct image_config {
	struct platform platform;
	int64_t created; /* 0 when unknown */
	struct text_list diff_ids;
	struct text_list env; /* as they stand in the document: "NAME=value" when it is well-made */
	struct text_list command;
	struct text_list entrypoint;
	char *user; /* texts are NULL when absent or empty */
	char *folder;
	char *stop_signal;
	json_t *labels; /* an object of texts, or NULL */
};

MUST_USE int image_config_decode(struct image_config *ret, const char *bytes, size_t size, struct annex_error **err);
void image_config_clear(struct image_config *config);
#define auto_image_config CLEANUP(image_config_clear)
