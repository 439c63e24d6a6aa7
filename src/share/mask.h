#pragma once
#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Paths of a share that do not exist for the guest. A mask is a name on the way to such a path, or its end; a folder
 * of the share that lies on the way carries its mask, everything else NULL.
 */
struct mask;
struct masks;

#define MASKS_LIMIT      512        /* paths of a share */
#define MASK_DEPTH_LIMIT 32         /* names in a path */
#define MASK_REFRESH_NS  1000000000 /* how old may be what is known of the objects that are hidden */
#define MASK_KNOWN_LIMIT 4096       /* objects that are remembered; then the first of them is forgotten */

/* `paths` are relative to the share's root and end with NULL; `root` is the share's folder, which stays the caller's
 * and open. Annex errors: usage, for a path that is none. */
MUST_USE int masks_new(struct masks **ret, const char *const *paths, int root, struct annex_error **err);
void masks_free(struct masks *masks); /* NULL is allowed */
static inline void cleanup_masks(struct masks **masks)
{
	masks_free(*masks);
}
#define auto_masks CLEANUP(cleanup_masks)

/* The mask of the share's root; NULL if `masks` is. */
const struct mask *masks_top(const struct masks *masks);
/* What `name` is in a folder that has this mask: NULL for nothing special. ASCII letters match in either case, since
 * the host's file system may not tell them apart. */
const struct mask *mask_child(const struct mask *mask, const char *name);
/* Whether the mask is the end of a path: what doesn't exist. NULL hides nothing. */
bool mask_hides(const struct mask *mask);
/* What this object of the host (its number and time of birth) is, by whatever name it was reached: as mask_child(). Any
 * thread; looks at the disk once in MASK_REFRESH_NS. */
const struct mask *masks_known(struct masks *masks, uint64_t dev, uint64_t ino, uint64_t born_ns);
/* Whether an object with this number may have a mask: cheap, for who knows no more of it yet. */
bool masks_may_know(struct masks *masks, uint64_t ino);
/* How many objects became hidden until now. */
uint64_t masks_hidden(const struct masks *masks);
