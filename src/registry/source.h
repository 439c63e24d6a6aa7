#pragma once
#include "registry/bundle.h"
#include "registry/resolve.h"

/*
 * Where an image comes from. Now: an OCI layout in a folder ("oci:DIR[:TAG]"), an archive of one or of `docker save`
 * ("oci-archive:FILE[:TAG]", "docker-archive:FILE[:TAG]"; which it is, its contents say), and such an archive on a
 * descriptor ("-"). Names and digests from a source are untrusted; digests of documents are checked here, those of
 * layers by who reads them to the end.
 */
struct image_source;

struct image_source_options {
	int input_fd;                 /* what "-" reads; stays the caller's */
	const char *temporary_folder; /* where archives are unpacked until image_source_free() */
	bundle_progress_fn *progress; /* of unpacking, or NULL */
	void *data;
};

/* Is it spelled as a source? */
bool image_source_is_spec(const char *text);

/* Blocks while an archive is read. USAGE: not a source; NOT_FOUND: no such file; CORRUPT: not an image. */
MUST_USE int image_source_open(struct image_source **ret, const char *spec, const struct image_source_options *options,
			       struct annex_error **err);
void image_source_free(struct image_source *source);
static inline void cleanup_image_source(struct image_source **source)
{
	image_source_free(*source);
}
#define auto_image_source CLEANUP(cleanup_image_source)

/* The image that the tag leads to for a platform. NOT_FOUND: no such tag or platform, or several images and no tag;
 * lists what there is. */
MUST_USE int image_source_manifest(struct image_manifest *ret, struct image_source *source,
				   const struct platform *platform, struct annex_error **err);
/* A descriptor at the start of a layer of the last manifest, of the size that the manifest says. */
MUST_USE int image_source_open_layer(int *ret_fd, struct image_source *source, const struct image_manifest *manifest,
				     size_t index, struct annex_error **err);
/* The name that the source suggests for the last manifest, in its normalised spelling; owned by the source. */
const char *image_source_name(const struct image_source *source);
