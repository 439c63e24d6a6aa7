#pragma once
#include "base/error.h"

/* What a media type says a blob is. One table knows them all: OCI image specification 1.1 and Docker's. */
enum media_kind {
	MEDIA_INDEX, /* OCI index, Docker manifest list */
	MEDIA_MANIFEST,
	MEDIA_CONFIG,
	MEDIA_LAYER,
};

enum media_compression {
	MEDIA_PLAIN,
	MEDIA_GZIP,
	MEDIA_ZSTD,
};

struct media_type {
	const char *name;
	enum media_kind kind;
	enum media_compression compression; /* of layers */
};

extern const char media_oci_index[], media_oci_manifest[], media_oci_config[];

/* UNSUPPORTED with the type's name, also for known types that are refused: Docker's schema 1 and artifacts. */
MUST_USE int media_find(const struct media_type **ret, const char *name, struct annex_error **err);
/* The same, and of this kind: what is not, is CORRUPT, and a configuration that is not an image's is an artifact. */
MUST_USE int media_expect(const struct media_type **ret, const char *name, enum media_kind kind,
			  struct annex_error **err);
/* UNSUPPORTED, with what it is: a chart, a signature, … */
int media_refuse_artifact(const char *name, struct annex_error **err);
/* All indexes and manifests, for an Accept header. NULL: memory ran out. The caller frees it. */
char *media_accept(void);
/* The OCI type of a layer that is compressed so. */
const char *media_layer_name(enum media_compression compression);
/* By the first bytes of a layer, for archives that don't say. */
enum media_compression media_sniff(const void *bytes, size_t size);
