/*
 * Every folder keeps its names twice: in a list in the order of appearance (iteration, and the same result each time)
 * and in a balanced tree (lookup; names come from the layers, so a hash table would have to defend itself).
 *
 * A name remembers the layer that put it there. A whiteout removes what has a lower number and keeps this layer's, even
 * when the whiteout comes behind it or in the middle. A lower folder stays if something of this layer lies below it.
 *
 * What entries cost is counted in names that are looked at, and limited by the number of entries: or a small layer
 * could keep us busy for days, by paths through many links or by whiteouts over its own names.
 *
 * Recursion goes as deep as folders do, ROOTFS_DEPTH at most, with small frames.
 */
#include "rootfs/tree.h"

#include "base/text.h"
#include "rootfs/rootfs.h"

#include <assert.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct tree {
	struct tree_node *root;
	uint64_t memory;
	uint32_t layer;
	uint32_t name_count;
	uint64_t steps, allowed; /* names looked at */
};

/* Two allocations of tsearch() and malloc() per name. */
enum { NAME_OVERHEAD = 64 };

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

int tree_charge(struct tree *tree, uint64_t bytes, struct annex_error **err)
{
	if (bytes > ROOTFS_METADATA - tree->memory)
		return fail(err, ANNEX_ERROR_CORRUPT, "the image's names and attributes take more than %u MiB",
			    (unsigned)(ROOTFS_METADATA >> 20));
	tree->memory += bytes;
	return 0;
}

static void uncharge(struct tree *tree, uint64_t bytes)
{
	tree->memory -= bytes < tree->memory ? bytes : tree->memory;
}

static uint64_t node_memory(const struct tree_node *node)
{
	return sizeof(*node) + NAME_OVERHEAD + (node->folder ? sizeof(*node->folder) : 0);
}

int tree_make(struct tree_node **ret, struct tree *tree, uint32_t mode, struct annex_error **err)
{
	struct tree_node *node = calloc(1, sizeof(*node));

	if (node && S_ISDIR(mode))
		node->folder = calloc(1, sizeof(*node->folder));
	if (!node || (S_ISDIR(mode) && !node->folder)) {
		free(node);
		return fail_memory(err);
	}
	node->mode = mode;
	if (tree_charge(tree, node_memory(node), err) < 0) {
		free(node->folder);
		free(node);
		return -1;
	}
	*ret = node;
	return 0;
}

void tree_discard(struct tree *tree, struct tree_node *node)
{
	uint64_t memory;

	if (!node)
		return;
	assert(!node->folder || !node->folder->first);
	memory = node_memory(node) + (uint64_t)node->extent_capacity * sizeof(*node->extents) + node->attributes_size;
	uncharge(tree, memory + (node->target ? strlen(node->target) : 0));
	free(node->extents);
	free(node->folder);
	free(node->target);
	free(node->attributes);
	free(node);
}

static void unlink_name(struct tree *tree, struct tree_node *folder, struct tree_name *name)
{
	struct tree_folder *in = folder->folder;

	tdelete(name->text, &in->index, compare);
	*(name->previous ? &name->previous->next : &in->first) = name->next;
	*(name->next ? &name->next->previous : &in->last) = name->previous;
	uncharge(tree, sizeof(*name) + NAME_OVERHEAD + strlen(name->text));
	tree->name_count--;
	free(name);
}

static void empty(struct tree *tree, struct tree_node *folder);

/* The last name gone, so is the node; its contents become free blocks. */
static void drop_name(struct tree *tree, struct tree_node *folder, struct tree_name *name)
{
	struct tree_node *node = name->node;

	if (node->folder)
		empty(tree, node);
	unlink_name(tree, folder, name);
	if (--node->names == 0)
		tree_discard(tree, node);
}

static void empty(struct tree *tree, struct tree_node *folder)
{
	while (folder->folder->first)
		drop_name(tree, folder, folder->folder->first);
}

int tree_new(struct tree **ret, struct annex_error **err)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return fail_memory(err);
	if (tree_make(&tree->root, tree, S_IFDIR | 0755, err) < 0) {
		free(tree);
		return -1;
	}
	tree->allowed = ROOTFS_STEPS;
	tree->root->folder->parent = tree->root;
	tree->root->names = 1;
	*ret = tree;
	return 0;
}

void tree_free(struct tree *tree)
{
	if (!tree)
		return;
	empty(tree, tree->root);
	tree_discard(tree, tree->root);
	free(tree);
}

struct tree_node *tree_root(struct tree *tree)
{
	return tree->root;
}

uint32_t tree_name_count(const struct tree *tree)
{
	return tree->name_count;
}

void tree_next_layer(struct tree *tree)
{
	tree->layer++;
}

int tree_add_extent(struct tree *tree, struct tree_node *node, uint32_t logical, uint64_t physical, uint32_t count,
		    struct annex_error **err)
{
	struct blocks_extent *last = node->extent_count ? &node->extents[node->extent_count - 1] : NULL;
	uint32_t capacity = node->extent_capacity ? node->extent_capacity * 2 : 1;
	struct blocks_extent *grown;

	if (last && last->logical + last->count == logical && last->physical + last->count == physical &&
	    last->count + count <= BLOCKS_LONGEST_EXTENT) {
		last->count += count;
		return 0;
	}
	if (node->extent_count == node->extent_capacity) {
		if (tree_charge(tree, (uint64_t)(capacity - node->extent_capacity) * sizeof(*grown), err) < 0)
			return -1;
		grown = reallocarray(node->extents, capacity, sizeof(*grown));
		if (!grown)
			return fail_memory(err);
		node->extents = grown;
		node->extent_capacity = capacity;
	}
	assert(node->extents);
	node->extents[node->extent_count++] = (struct blocks_extent){physical, logical, count};
	return 0;
}

struct tree_name *tree_find(const struct tree_node *folder, const char *name)
{
	const char *const *found = tfind(name, &folder->folder->index, compare);

	return found ? (struct tree_name *)(*found - offsetof(struct tree_name, text)) : NULL;
}

int tree_put(struct tree *tree, struct tree_node *folder, const char *text, struct tree_node *node,
	     struct annex_error **err)
{
	struct tree_folder *in = folder->folder;
	struct tree_name *name = tree_find(folder, text);
	size_t length = strlen(text);

	if (node->folder && in->depth >= ROOTFS_DEPTH)
		return fail(err, ANNEX_ERROR_CORRUPT, "more than %d folders within each other", ROOTFS_DEPTH);
	if (name)
		drop_name(tree, folder, name);
	if (tree->name_count >= ROOTFS_ENTRIES)
		return fail(err, ANNEX_ERROR_CORRUPT, "the image has more than %u files", ROOTFS_ENTRIES);
	if (tree_charge(tree, sizeof(*name) + NAME_OVERHEAD + length, err) < 0)
		return -1;
	name = malloc(sizeof(*name) + length + 1);
	if (!name)
		return fail_memory(err);
	*name = (struct tree_name){.node = node, .previous = in->last, .layer = tree->layer};
	memcpy(name->text, text, length + 1);
	if (!tsearch(name->text, &in->index, compare)) {
		free(name);
		return fail_memory(err);
	}
	*(in->last ? &in->last->next : &in->first) = name;
	in->last = name;
	tree->name_count++;
	node->names++;
	if (node->folder) {
		node->folder->parent = folder;
		node->folder->depth = in->depth + 1;
	}
	return 0;
}

void tree_touch(struct tree *tree, struct tree_name *name)
{
	name->layer = tree->layer;
}

static int make_folder(struct tree_node **ret, struct tree *tree, struct tree_node *folder, const char *name,
		       const struct tree_node *like, struct annex_error **err)
{
	struct tree_node *made = NULL;

	if (tree_make(&made, tree, S_IFDIR | 0755, err) < 0)
		return -1;
	made->mtime = like->mtime;
	made->mtime_ns = like->mtime_ns;
	if (tree_put(tree, folder, name, made, err) < 0) {
		tree_discard(tree, made);
		return -1;
	}
	*ret = made;
	return 0;
}

/* Put a link's target in front of what is still to be walked. */
static int follow(char **rest, char **at, const char *target, struct annex_error **err)
{
	char *joined;

	if (asprintf(&joined, "%s/%s", target, *at ? *at : "") < 0)
		return fail_memory(err);
	free(*rest);
	*rest = *at = joined;
	return strlen(joined) < (size_t)2 * ROOTFS_PATH
		       ? 0
		       : fail(err, ANNEX_ERROR_CORRUPT, "symbolic links make a path too long");
}

int tree_enter(struct tree_node **ret, struct tree *tree, const char *path, const struct tree_node *like,
	       struct annex_error **err)
{
	auto_free char *rest = strdup(path);
	struct tree_node *here = tree->root;
	struct tree_name *found;
	char *at = rest, *component;
	int links = 0;

	if (!rest)
		return fail_memory(err);
	tree->allowed += ROOTFS_PACE;
	while ((component = strsep(&at, "/"))) {
		if (++tree->steps > tree->allowed)
			return fail(err, ANNEX_ERROR_CORRUPT,
				    "finding the places of the image's entries takes unreasonably long");
		if (!*component || strcmp(component, ".") == 0)
			continue;
		if (strcmp(component, "..") == 0) {
			here = here->folder->parent;
			continue;
		}
		found = tree_find(here, component);
		if (found && S_ISLNK(found->node->mode)) {
			if (++links > ROOTFS_FOLLOW)
				return fail(err, ANNEX_ERROR_CORRUPT, "symbolic links run in a circle");
			here = found->node->target[0] == '/' ? tree->root : here;
			if (follow(&rest, &at, found->node->target, err) < 0)
				return -1;
		} else if (found && found->node->folder) {
			here = found->node;
		} else if (!like) {
			*ret = NULL;
			return 0;
		} else if (strlen(component) > ROOTFS_NAME) {
			return fail(err, ANNEX_ERROR_CORRUPT, "a name is longer than %d bytes", ROOTFS_NAME);
		} else if (make_folder(&here, tree, here, component, like, err) < 0) {
			return -1;
		}
	}
	*ret = here;
	return 0;
}

/* Does something of this layer remain? */
static bool hide_below(struct tree *tree, struct tree_node *folder);

static bool hide_name(struct tree *tree, struct tree_node *folder, struct tree_name *name)
{
	bool stays = name->node->folder && hide_below(tree, name->node);

	if (name->layer == tree->layer || stays)
		return true;
	drop_name(tree, folder, name);
	return false;
}

static bool hide_below(struct tree *tree, struct tree_node *folder)
{
	struct tree_name *next;
	bool stays = false;

	for (struct tree_name *name = folder->folder->first; name; name = next) {
		next = name->next;
		tree->steps++;
		stays |= hide_name(tree, folder, name);
	}
	return stays;
}

void tree_hide(struct tree *tree, struct tree_node *folder, const char *name)
{
	struct tree_name *found = tree_find(folder, name);

	if (found)
		hide_name(tree, folder, found);
}

void tree_hide_all(struct tree *tree, struct tree_node *folder)
{
	hide_below(tree, folder);
}
