#pragma once
#include "base/text.h"
#include "json/json.h"

#include <stdint.h>

/*
 * Writing an image into a tar file that is both an OCI layout (image specification 1.1) and what `docker load` reads,
 * as `docker save` since 25 makes them. Layers are plain tar streams, whose digests and sizes are known before.
 */
struct imagefile_layer {
	char digest[72]; /* as of base/digest.h; also its diff id */
	uint64_t size;
};

/* What a layer's writer calls for its next bytes; 0 or -errno. */
struct imagefile;
MUST_USE int imagefile_put(struct imagefile *file, const void *bytes, size_t size);

struct imagefile_image {
	const char *config; /* of the image as it came: a JSON object; its diff_ids are replaced */
	size_t config_size;
	const struct text_list *names; /* normalised references; may be empty */
	const struct imagefile_layer *layers;
	size_t layer_count;
	/* Writes layer `index` by imagefile_put(), exactly as large as it was said to be. */
	int (*write_layer)(struct imagefile *file, size_t index, void *data, struct annex_error **err);
	void *data;
};

/* Writes all of it to fd. Blocks. SYSTEM when fd can't be written; what write_layer says. */
MUST_USE int imagefile_write(int fd, const struct imagefile_image *image, struct annex_error **err);
