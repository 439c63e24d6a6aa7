/*
 * Each entry of a layer becomes changes to the tree. An entry replaces what has its name, except that a folder over a
 * folder keeps what is in it. Folders on the way are entered through symbolic links, within the image, and made where
 * missing; the last component is never followed.
 */
#include "rootfs/merge.h"

#include "rootfs/index.h"

#include <string.h>
#include <sys/stat.h>

enum { CHECK_ENTRIES = 8192 };

/* Where an entry goes. */
struct place {
	char folder[ROOTFS_PATH];
	const char *name;
};

static void split(struct place *place, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;

	memcpy(place->folder, path, length);
	place->folder[length] = '\0';
	place->name = slash ? slash + 1 : path;
}

static int set_metadata(struct tree *tree, struct tree_node *node, const struct index_entry *entry,
			struct annex_error **err)
{
	node->mode = entry->mode;
	node->uid = entry->uid;
	node->gid = entry->gid;
	node->mtime = entry->mtime;
	node->mtime_ns = entry->mtime_ns;
	free(node->attributes);
	node->attributes = NULL;
	node->attributes_size = 0;
	if (entry->attributes_size == 0)
		return 0;
	if (tree_charge(tree, entry->attributes_size, err) < 0)
		return -1;
	node->attributes = malloc(entry->attributes_size);
	if (!node->attributes)
		return fail_memory(err);
	memcpy(node->attributes, entry->attributes, entry->attributes_size);
	node->attributes_size = entry->attributes_size;
	return 0;
}

static int set_target(struct tree *tree, struct tree_node *node, const char *target, struct annex_error **err)
{
	node->target = strdup(target);
	if (!node->target)
		return fail_memory(err);
	node->size = strlen(target);
	return tree_charge(tree, node->size, err);
}

static int set_contents(struct tree *tree, struct tree_node *node, struct index_reader *index, struct annex_error **err)
{
	const struct blocks_extent *extent;

	for (;;) {
		if (index_next_extent(&extent, index, err) < 0)
			return -1;
		if (!extent)
			return 0;
		if (tree_add_extent(tree, node, extent->logical, extent->physical, extent->count, err) < 0)
			return -1;
	}
}

static int fill(struct tree *tree, struct tree_node *node, struct index_reader *index, const struct index_entry *entry,
		struct annex_error **err)
{
	if (set_metadata(tree, node, entry, err) < 0)
		return -1;
	node->size = entry->size;
	node->major = entry->major;
	node->minor = entry->minor;
	if (S_ISLNK(node->mode))
		return set_target(tree, node, entry->target, err);
	return S_ISREG(node->mode) ? set_contents(tree, node, index, err) : 0;
}

static int put_node(struct tree *tree, struct tree_node *folder, const char *text, struct index_reader *index,
		    const struct index_entry *entry, struct annex_error **err)
{
	struct tree_name *name = tree_find(folder, text);
	struct tree_node *node = NULL;

	if (name && name->node->folder && S_ISDIR(entry->mode)) {
		tree_touch(tree, name);
		return set_metadata(tree, name->node, entry, err);
	}
	if (tree_make(&node, tree, entry->mode, err) < 0)
		return -1;
	if (fill(tree, node, index, entry, err) < 0 || tree_put(tree, folder, text, node, err) < 0) {
		if (node->names == 0)
			tree_discard(tree, node);
		return -1;
	}
	return 0;
}

/* The node that a hard link's target names; *ret stays NULL when there is none. */
static int find_target(struct tree_node **ret, struct tree *tree, const char *path, struct annex_error **err)
{
	struct tree_node *folder = NULL;
	struct tree_name *name;
	struct place place;

	split(&place, path);
	if (tree_enter(&folder, tree, place.folder, NULL, err) < 0)
		return -1;
	name = folder ? tree_find(folder, place.name) : NULL;
	*ret = name ? name->node : NULL;
	return 0;
}

static int put_link(struct tree *tree, struct tree_node *folder, const char *text, const char *target,
		    struct annex_error **err)
{
	struct tree_name *name = tree_find(folder, text);
	struct tree_node *node = NULL;
	int result;

	if (find_target(&node, tree, target, err) < 0)
		return -1;
	if (!node || node->folder)
		return fail(err, ANNEX_ERROR_CORRUPT, "a hard link to %.256s, which is not there", target);
	if (name && name->node == node) {
		tree_touch(tree, name);
		return 0;
	}
	if (node->names >= ROOTFS_LINKS)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "more than %d hard links to one file", ROOTFS_LINKS);
	node->names++; /* the target may lie in what is replaced */
	result = tree_put(tree, folder, text, node, err);
	if (--node->names == 0)
		tree_discard(tree, node);
	return result;
}

static int put(struct tree *tree, struct index_reader *index, const struct index_entry *entry, struct annex_error **err)
{
	struct tree_node like = {.mtime = entry->mtime, .mtime_ns = entry->mtime_ns}, *folder = NULL;
	struct place place;

	if (!*entry->path)
		return set_metadata(tree, tree_root(tree), entry, err);
	split(&place, entry->path);
	if (tree_enter(&folder, tree, place.folder, &like, err) < 0)
		return -1;
	if (entry->kind == INDEX_LINK)
		return put_link(tree, folder, place.name, entry->target, err);
	return put_node(tree, folder, place.name, index, entry, err);
}

static int hide(struct tree *tree, const struct index_entry *entry, struct annex_error **err)
{
	bool all = entry->kind == INDEX_OPAQUE;
	struct tree_node *folder = NULL;
	struct place place;

	split(&place, entry->path);
	if (tree_enter(&folder, tree, all ? entry->path : place.folder, NULL, err) < 0)
		return -1;
	if (folder && all)
		tree_hide_all(tree, folder);
	else if (folder)
		tree_hide(tree, folder, place.name);
	return 0;
}

static int apply(struct tree *tree, struct index_reader *index, const struct index_entry *entry,
		 struct annex_error **err)
{
	switch (entry->kind) {
	case INDEX_NODE:
	case INDEX_LINK:
		return put(tree, index, entry, err);
	case INDEX_WHITEOUT:
	case INDEX_OPAQUE:
		return hide(tree, entry, err);
	}
	return 0;
}

int merge_layer(struct tree *tree, struct index_reader *index, const struct merge_check *check,
		struct annex_error **err)
{
	const struct index_entry *entry;

	tree_next_layer(tree);
	for (uint32_t i = 1;; i++) {
		if (index_next(&entry, index, err) < 0)
			return -1;
		if (!entry)
			return 0;
		if (i % CHECK_ENTRIES == 0 && check->fn(check->data) != 0)
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
		if (apply(tree, index, entry, err) < 0)
			return fail_while(err, "%.256s", entry->path);
	}
}
