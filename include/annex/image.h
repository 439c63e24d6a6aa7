#ifndef ANNEX_IMAGE_H
#define ANNEX_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include <annex/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Images (OCI image specification 1.1, and Docker's `save` format). An image that is here is a record and a base disk;
 * machines made from it keep working when it is deleted.
 */
struct annex_image;

struct annex_image_import_options {
	size_t size;
	const char *name;     /* the reference to give it; NULL: what the source says, else from the file's name */
	const char *platform; /* "linux/amd64[/variant]"; NULL: the host's */
	int input_fd;         /* what source "-" reads; 0 is standard input */
};
#define ANNEX_IMAGE_IMPORT_OPTIONS_INIT                                  \
	{                                                                \
		sizeof(struct annex_image_import_options), NULL, NULL, 0 \
	}

/*
 * Import "oci:DIR[:TAG]", "oci-archive:FILE[:TAG]", "docker-archive:FILE[:TAG]" or "-" (an archive on input_fd).
 * Blocks; reports progress; can be cancelled; nothing half-made stays. Errors: USAGE (not a source), NOT_FOUND (no such
 * file, tag or platform), CORRUPT, UNSUPPORTED (media type), SYSTEM. The caller owns *ret. options may be NULL.
 */
int annex_image_import(struct annex_image **ret, struct annex_context *context, const char *source,
		       const struct annex_image_import_options *options, struct annex_error **err);

struct annex_image_pull_options {
	size_t size;
	const char *platform; /* "linux/amd64[/variant]"; NULL: the host's */
	const char
		*scheme; /* "auto", "https" or "http"; NULL: auto, which is HTTPS, and HTTP on this host's loopback */
};
#define ANNEX_IMAGE_PULL_OPTIONS_INIT                               \
	{                                                           \
		sizeof(struct annex_image_pull_options), NULL, NULL \
	}

/*
 * Take an image from a registry (OCI distribution specification 1.1, Docker's registry API v2): "debian:12",
 * "ghcr.io/org/name@sha256:…". When the image that is here is the one that the reference leads to, that costs one
 * request, and *ret_changed (may be NULL) is 0. Blocks; reports progress; can be cancelled; layers that were complete
 * are kept for the next try. Errors: USAGE, NOT_FOUND (repository, tag, platform), AUTH, NETWORK, TIMEOUT, CORRUPT,
 * UNSUPPORTED, SYSTEM. The caller owns *ret. options may be NULL.
 */
int annex_image_pull(struct annex_image **ret, int *ret_changed, struct annex_context *context, const char *reference,
		     const struct annex_image_pull_options *options, struct annex_error **err);

/* By name ("debian:12" means "docker.io/library/debian:12"), digest, or unambiguous start of an id of at least 6
 * digits. NOT_FOUND. */
int annex_image_open(struct annex_image **ret, struct annex_context *context, const char *name,
		     struct annex_error **err);
/* All, newest first. Free with annex_image_list_free(). */
int annex_image_list(struct annex_image ***ret, size_t *ret_count, struct annex_context *context,
		     struct annex_error **err);
void annex_image_list_free(struct annex_image **list, size_t count);
/* Removes the name; with the last name the record; the base disk goes when no image and no machine uses it. */
int annex_image_delete(struct annex_context *context, const char *name, struct annex_error **err);

/* Write the image to fd as an archive: an OCI layout in a tar file that 'docker load', 'podman load' and
 * annex_image_import() read. Its layers are made anew from the base disk: they hold the same files, but have other
 * digests, and so the image has another id. Blocks; reports progress; can be cancelled. NOT_FOUND, SYSTEM. */
int annex_image_export(struct annex_image *image, int fd, struct annex_error **err);

struct annex_image_prune_options {
	size_t size;
	int all;     /* also images that have a name; else only those without one */
	int dry_run; /* only tell */
};
#define ANNEX_IMAGE_PRUNE_OPTIONS_INIT                         \
	{                                                      \
		sizeof(struct annex_image_prune_options), 0, 0 \
	}
/* What goes: an image by its names or its id, or something else ("unfinished download of debian:12"), and how many
 * bytes on disk come free by that. */
typedef void annex_image_pruned_fn(const char *what, uint64_t bytes, void *data);
/*
 * Remove images that no machine uses, and unfinished downloads that nobody is at. What another process uses or makes at
 * this time is passed by. fn, options and ret_freed may be NULL. Can be cancelled between two images.
 */
int annex_image_prune(struct annex_context *context, const struct annex_image_prune_options *options,
		      annex_image_pruned_fn *fn, void *data, uint64_t *ret_freed, struct annex_error **err);

void annex_image_unref(struct annex_image *image);

/* Owned by the image. */
const char *annex_image_id(const struct annex_image *image);       /* "sha256:…" of the configuration */
const char *annex_image_digest(const struct annex_image *image);   /* "sha256:…" of the manifest */
const char *annex_image_platform(const struct annex_image *image); /* "linux/amd64" */
size_t annex_image_name_count(const struct annex_image *image);
const char *annex_image_name(const struct annex_image *image, size_t index); /* familiar: "debian:12" */
int64_t annex_image_created(const struct annex_image *image);                /* seconds since 1970 */
int64_t annex_image_imported(const struct annex_image *image);
uint64_t annex_image_size(const struct annex_image *image); /* bytes on disk */
/* Everything known, as a JSON object; the caller frees it. NULL: out of memory. */
char *annex_image_describe(const struct annex_image *image);

#ifdef __cplusplus
}
#endif

#endif
