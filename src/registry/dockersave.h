#pragma once
#include "registry/bundle.h"
#include "registry/resolve.h"

/* What `docker save` writes: manifest.json lists images, each a configuration and layers by file name. */
#define DOCKERSAVE_SIZE_LIMIT  (4u << 20) /* bytes of manifest.json */
#define DOCKERSAVE_IMAGE_LIMIT 256u
extern const char dockersave_manifest[]; /* the file that tells such an archive from others */

struct saved_image {
	char *config;
	struct text_list names; /* RepoTags; may be empty */
	struct text_list layers;
};

struct saved_images {
	struct saved_image *items;
	size_t count;
};

MUST_USE int dockersave_read(struct saved_images *ret, const struct bundle *bundle, struct annex_error **err);
void dockersave_clear(struct saved_images *images);

/* There is no manifest in such an archive, so one is made, an OCI manifest of what is there: the same archive always
 * gives the same one. Reads compressed layers once, for their digests. */
MUST_USE int dockersave_resolve(struct image_manifest *ret, const struct bundle *bundle,
				const struct saved_image *image, struct annex_error **err);
