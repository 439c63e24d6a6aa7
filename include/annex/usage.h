#ifndef ANNEX_USAGE_H
#define ANNEX_USAGE_H

#include <stddef.h>
#include <stdint.h>

#include <annex/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is on the disk, and for what. */
struct annex_usage {
	const char *kind;     /* "images", "unfinished downloads", "machines", "kernels" */
	size_t count;         /* how many there are */
	size_t active;        /* of images and kernels: used by a machine; of the others: under way, running */
	uint64_t size;        /* bytes on disk; what several share counts once */
	uint64_t reclaimable; /* of these: what 'prune --all', or deleting stopped machines or unused kernels, frees */
};

/* One for each kind, in the order above. Blocks as the disk does. Free with annex_usage_free(). */
int annex_usage_list(struct annex_usage **ret, size_t *ret_count, struct annex_context *context,
		     struct annex_error **err);
void annex_usage_free(struct annex_usage *list);

/* One machine's part of it. */
struct annex_machine_usage {
	char *name;
	enum annex_machine_state state;
	uint64_t disk;        /* bytes, as the machine sees it */
	int64_t used;         /* of these, in its root file system; -1: not known, it does not run or does not answer */
	uint64_t host;        /* bytes that the machine takes here, with its logs and without its image */
	uint64_t reclaimable; /* of these: what deleting it frees; 0 while it runs */
};

/* Of machines by name (NULL-terminated; NOT_FOUND) or, with names NULL, of all. Blocks as the disk does and as
 * annex_stats_next(). Free with annex_usage_machines_free(). */
int annex_usage_machines(struct annex_machine_usage **ret, size_t *ret_count, struct annex_context *context,
			 const char *const *names, struct annex_error **err);
void annex_usage_machines_free(struct annex_machine_usage *list, size_t count);

/* One image's. */
struct annex_image_usage {
	char *name;           /* the first of its names, or NULL */
	char *id;             /* "sha256:…" */
	uint64_t size;        /* bytes; a disk that images share counts for each */
	size_t machines;      /* made from it, or on the same disk */
	uint64_t reclaimable; /* what deleting it frees */
};
int annex_usage_images(struct annex_image_usage **ret, size_t *ret_count, struct annex_context *context,
		       struct annex_error **err);
void annex_usage_images_free(struct annex_image_usage *list, size_t count);

#ifdef __cplusplus
}
#endif

#endif
