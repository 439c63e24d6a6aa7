#ifndef ANNEX_USAGE_H
#define ANNEX_USAGE_H

#include <stddef.h>
#include <stdint.h>

#include <annex/context.h>

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

#ifdef __cplusplus
}
#endif

#endif
