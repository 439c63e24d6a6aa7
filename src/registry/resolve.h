#pragma once
#include "registry/manifest.h"

/* From an index to the one image for a platform, wherever the documents come from. */
#define RESOLVE_DEPTH_LIMIT    4u  /* nested indexes */
#define RESOLVE_DOCUMENT_LIMIT 64u /* documents read in one search */

struct image_layer {
	char *digest; /* of the compressed layer */
	char *diff_id;
	uint64_t size; /* compressed */
	enum media_compression compression;
	char *data;            /* all of it, where the manifest embeds it; else NULL */
	struct text_list urls; /* HTTPS, where registries may not have it */
};

struct image_manifest {
	char *digest;
	struct platform platform;
	char *bytes; /* the manifest as it stands */
	size_t size;
	char *config_digest; /* the image's id */
	char *config_bytes;
	size_t config_size;
	struct image_config config;
	struct image_layer *layers; /* bottom first */
	size_t layer_count;
	size_t entry; /* which of the roots led to it */
};

void image_manifest_clear(struct image_manifest *manifest);
#define auto_image_manifest CLEANUP(image_manifest_clear)

/* Reads the document that `wanted` names, at most `limit` bytes of it, into memory that the caller frees. Size and
 * digest are checked by who asked. */
typedef int resolve_fetch_fn(char **ret, size_t *ret_size, const struct descriptor *wanted, size_t limit, void *data,
			     struct annex_error **err);

/* NOT_FOUND lists the platforms there are. */
MUST_USE int resolve_manifest(struct image_manifest *ret, const struct descriptor *roots, size_t count,
			      const struct platform *wanted, resolve_fetch_fn *fetch, void *data,
			      struct annex_error **err);

/* Puts a manifest's parts together: `document` is a manifest; bytes are taken, even on failure. For sources whose
 * documents are not found by descriptor. */
MUST_USE int resolve_assemble(struct image_manifest *ret, const struct document *document, char *config_bytes,
			      size_t config_size, struct annex_error **err);
