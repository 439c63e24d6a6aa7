#pragma once
#include "json/json.h"

/* An image as it is kept on disk, records/HEX.json, where HEX is the digest of its configuration. */
/* It grows when an older annex would misread a record; what an older one may overlook, as the roots, needs no new one.
 */
#define IMAGE_RECORD_VERSION 1u
#define IMAGE_RECORD_LAYERS  512u

struct image_record_layer {
	char *digest; /* of the compressed layer */
	char *diff_id;
	uint64_t size; /* compressed */
};

/* Where a name led when the image was pulled by it. */
struct image_record_root {
	char *name;
	char *digest; /* of the index or manifest that its tag stood for */
};

struct image_record {
	uint64_t version;
	char *id;                        /* "sha256:…" of the configuration */
	char *digest;                    /* "sha256:…" of the manifest */
	char *platform;                  /* "linux/amd64" */
	char *base;                      /* key of the base disk */
	struct text_list names;          /* normalised references, in the order they were given */
	struct image_record_root *roots; /* of those names that came from a registry */
	size_t root_count;
	int64_t created; /* 0 when unknown */
	int64_t imported;
	uint64_t sequence; /* grows with each import into the store: orders them and decides who has a name */
	struct image_record_layer *layers; /* bottom first */
	size_t layer_count;
};

void image_record_clear(struct image_record *record);
#define auto_image_record CLEANUP(image_record_clear)

/* `what` names the document in errors: CORRUPT, or UNSUPPORTED when a newer annex wrote it. */
MUST_USE int image_record_decode(struct image_record *ret, const json_t *value, const char *what,
				 struct annex_error **err);
/* NULL: out of memory. */
json_t *image_record_encode(const struct image_record *record);

/* Room for one more layer, all three fields copied; -ENOMEM. */
MUST_USE int image_record_add_layer(struct image_record *record, const char *digest, const char *diff_id,
				    uint64_t size);
/* The position of a name in names, or -1. */
ssize_t image_record_find_name(const struct image_record *record, const char *name);
/* The root of a name, or NULL when it is not known. */
const char *image_record_root(const struct image_record *record, const char *name);
/* Both are copied; -ENOMEM. */
MUST_USE int image_record_set_root(struct image_record *record, const char *name, const char *digest);
/* Does one of its names have this root? */
bool image_record_has_root(const struct image_record *record, const char *digest);
/* With its root. */
void image_record_drop_name(struct image_record *record, size_t index);
