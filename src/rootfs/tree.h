#pragma once
#include "base/error.h"
#include "rootfs/blocks.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The tree of the image in memory: everything but the contents of files. Layers are applied to it one after another;
 * when the last one is in, it is written out. A node is one inode; a name is one entry of a folder.
 */
struct tree;
struct tree_node;

struct tree_name {
	struct tree_node *node;
	struct tree_name *next, *previous; /* in the folder, in the order of appearance */
	uint32_t layer;                    /* that put it there */
	char text[];
};

struct tree_folder {
	struct tree_node *parent; /* of the root: itself */
	struct tree_name *first, *last;
	void *index; /* tsearch() tree of the names' texts */
	uint32_t depth;
	struct tree_node *next; /* list of folders, used when they are written */
};

struct tree_node {
	uint32_t mode; /* st_mode, type included */
	uint32_t uid, gid;
	uint32_t names;  /* how many there are; a node without one is not in the tree */
	uint32_t number; /* the inode's, once it has one */
	uint32_t major, minor;
	uint32_t extent_count, extent_capacity;
	int64_t mtime;
	uint32_t mtime_ns;
	uint32_t attributes_size;
	uint64_t size;
	struct blocks_extent *extents;
	struct tree_folder *folder; /* of folders only */
	char *target;               /* of symbolic links only */
	char *attributes;           /* by attribute_pack(), or NULL */
};

MUST_USE int tree_new(struct tree **ret, struct annex_error **err);
void tree_free(struct tree *tree);
static inline void cleanup_tree(struct tree **tree)
{
	tree_free(*tree);
}
#define auto_tree CLEANUP(cleanup_tree)
struct tree_node *tree_root(struct tree *tree);
uint32_t tree_name_count(const struct tree *tree);
/* What is put from now on belongs to the next layer. */
void tree_next_layer(struct tree *tree);

/* A node that has no name yet; the caller's until tree_put(). */
MUST_USE int tree_make(struct tree_node **ret, struct tree *tree, uint32_t mode, struct annex_error **err);
void tree_discard(struct tree *tree, struct tree_node *node); /* one that never got a name; NULL is allowed */
/* Account for memory that a node holds. CORRUPT past the cap. */
MUST_USE int tree_charge(struct tree *tree, uint64_t bytes, struct annex_error **err);
MUST_USE int tree_add_extent(struct tree *tree, struct tree_node *node, uint32_t logical, uint64_t physical,
			     uint32_t count, struct annex_error **err);

struct tree_name *tree_find(const struct tree_node *folder, const char *name);
/* The folder of that path, links followed; one call for each entry, or two. Missing: *ret is NULL; with `like`, what is
 * missing or no folder becomes one that belongs to root and has the time of `like`. */
MUST_USE int tree_enter(struct tree_node **ret, struct tree *tree, const char *path, const struct tree_node *like,
			struct annex_error **err);
/* Give the node that name in place of whatever has it. */
MUST_USE int tree_put(struct tree *tree, struct tree_node *folder, const char *name, struct tree_node *node,
		      struct annex_error **err);
/* The name is (also) this layer's. */
void tree_touch(struct tree *tree, struct tree_name *name);
/* Whiteouts: remove what lower layers have under that name, or in that folder. */
void tree_hide(struct tree *tree, struct tree_node *folder, const char *name);
void tree_hide_all(struct tree *tree, struct tree_node *folder);
