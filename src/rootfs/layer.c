/*
 * One layer: libarchive decodes the tar stream (no filters of its own, no other format), each entry becomes changes to
 * the tree. An entry replaces what has its name, except that a folder over a folder keeps what is in it. Folders on the
 * way are entered through symbolic links, within the image, and made where missing; the last component is never
 * followed.
 *
 * libarchive converts names of PAX headers to the locale's character set and composes accents on the way. In the "C"
 * locale it gives up on anything beyond ASCII and hands over the bytes as they are, which is what is wanted: so the
 * thread is put into that locale meanwhile.
 */
#include "rootfs/layer.h"

#include "base/text.h"
#include "rootfs/attribute.h"
#include "rootfs/contents.h"
#include "rootfs/member.h"
#include "rootfs/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
	CHECK_MS = 200 /* how long a silent source can delay a cancellation */
};

struct layer {
	struct tree *tree;
	struct blocks *blocks;
	struct tarball *tarball;
	struct archive *archive;
	const struct layer_progress *progress;
	uint64_t *written;
	struct annex_error *error; /* of the read callback, which libarchive can't carry */
	bool stream_failed;        /* there was one */
};

static la_ssize_t read_piece(struct archive *archive, void *data, const void **ret)
{
	struct layer *layer = data;
	size_t size = 0;

	(void)archive;
	do {
		if (layer->progress->check(tarball_done(layer->tarball), layer->progress->data) != 0) {
			fail(&layer->error, ANNEX_ERROR_CANCELLED, "cancelled");
			return -1;
		}
	} while (!tarball_wait(layer->tarball, CHECK_MS));
	return tarball_read(layer->tarball, ret, &size, &layer->error) < 0 ? -1 : (la_ssize_t)size;
}

static int fail_archive(struct layer *layer, struct annex_error **err)
{
	const char *text;

	if (layer->error) {
		layer->stream_failed = true;
		if (err)
			*err = TAKE(layer->error);
		return -1;
	}
	text = archive_error_string(layer->archive);
	return fail(err, ANNEX_ERROR_CORRUPT, "not a tar archive, or a damaged one (%s)", text ? text : "unknown");
}

static int take_metadata(struct layer *layer, struct tree_node *node, struct archive_entry *entry,
			 struct annex_error **err)
{
	int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);

	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return fail(err, ANNEX_ERROR_CORRUPT, "its owner is no 32-bit number");
	node->mode = (node->mode & S_IFMT) | (S_ISLNK(node->mode) ? 0777 : archive_entry_perm(entry) & 07777);
	node->uid = (uint32_t)uid;
	node->gid = (uint32_t)gid;
	node->mtime = archive_entry_mtime(entry);
	node->mtime_ns = (uint32_t)archive_entry_mtime_nsec(entry) % 1000000000;
	return attribute_take(layer->tree, node, entry, err);
}

static int take_contents(struct layer *layer, struct tree_node *node, struct archive_entry *entry,
			 struct annex_error **err)
{
	struct contents contents = {
		.tree = layer->tree, .blocks = layer->blocks, .node = node, .written = layer->written};
	int64_t size = archive_entry_size(entry);
	const void *bytes;
	la_int64_t offset;
	size_t n;
	int got;

	if (size < 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "its size is negative");
	while ((got = archive_read_data_block(layer->archive, &bytes, &n, &offset)) == ARCHIVE_OK) {
		if (contents_write(&contents, (uint64_t)offset, bytes, n, err) < 0)
			return -1;
	}
	if (got != ARCHIVE_EOF)
		return fail_archive(layer, err);
	return contents_finish(&contents, (uint64_t)size, err);
}

static int take_target(struct layer *layer, struct tree_node *node, struct archive_entry *entry,
		       struct annex_error **err)
{
	const char *target = archive_entry_symlink(entry);

	if (!target || !*target || strlen(target) >= ROOTFS_PATH)
		return fail(err, ANNEX_ERROR_CORRUPT, "a symbolic link without a target, or with one too long");
	node->target = strdup(target);
	if (!node->target)
		return fail_memory(err);
	node->size = strlen(target);
	return tree_charge(layer->tree, node->size, err);
}

static int take_device(struct tree_node *node, struct archive_entry *entry, struct annex_error **err)
{
	dev_t major = archive_entry_rdevmajor(entry), minor = archive_entry_rdevminor(entry);

	if (major >= 1u << 12 || minor >= 1u << 20)
		return fail(err, ANNEX_ERROR_CORRUPT, "device numbers that Linux has not");
	node->major = (uint32_t)major;
	node->minor = (uint32_t)minor;
	return 0;
}

/* Everything about a new node but its name. */
static int fill(struct layer *layer, struct tree_node *node, struct archive_entry *entry, struct annex_error **err)
{
	if (take_metadata(layer, node, entry, err) < 0)
		return -1;
	switch (node->mode & S_IFMT) {
	case S_IFREG:
		return take_contents(layer, node, entry, err);
	case S_IFLNK:
		return take_target(layer, node, entry, err);
	case S_IFCHR:
	case S_IFBLK:
		return take_device(node, entry, err);
	default:
		return 0;
	}
}

static int put_new(struct layer *layer, struct tree_node *folder, const char *name, struct archive_entry *entry,
		   struct annex_error **err)
{
	struct tree_node *node = NULL;

	if (tree_make(&node, layer->tree, archive_entry_filetype(entry), err) < 0)
		return -1;
	if (fill(layer, node, entry, err) < 0 || tree_put(layer->tree, folder, name, node, err) < 0) {
		if (node->names == 0)
			tree_discard(layer->tree, node);
		return -1;
	}
	return 0;
}

/* The node that a hard link's target names; *ret stays NULL when there is none. */
static int find_target(struct tree_node **ret, struct layer *layer, const char *path, struct annex_error **err)
{
	auto_member struct member member = {0};
	struct tree_node *folder = NULL;
	struct tree_name *name;

	if (member_parse(&member, path, err) < 0)
		return -1;
	if (member.kind != MEMBER_ENTRY)
		return 0;
	if (tree_enter(&folder, layer->tree, member.folder, NULL, err) < 0)
		return -1;
	name = folder ? tree_find(folder, member.name) : NULL;
	*ret = name ? name->node : NULL;
	return 0;
}

static int put_link(struct layer *layer, struct tree_node *folder, const char *text, const char *target,
		    struct annex_error **err)
{
	struct tree_name *name = tree_find(folder, text);
	struct tree_node *node = NULL;
	int result;

	if (find_target(&node, layer, target, err) < 0)
		return -1;
	if (!node || node->folder)
		return fail(err, ANNEX_ERROR_CORRUPT, "a hard link to %s, which is not there", target);
	if (name && name->node == node) {
		tree_touch(layer->tree, name);
		return 0;
	}
	if (node->names >= ROOTFS_LINKS)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "more than %d hard links to one file", ROOTFS_LINKS);
	node->names++; /* the target may lie in what is replaced */
	result = tree_put(layer->tree, folder, text, node, err);
	if (--node->names == 0)
		tree_discard(layer->tree, node);
	return result;
}

/* The folder that the entry lies in, made if need be. */
static int enter_folder(struct tree_node **ret, struct layer *layer, const char *path, struct archive_entry *entry,
			struct annex_error **err)
{
	struct tree_node like = {.mtime = archive_entry_mtime(entry),
				 .mtime_ns = (uint32_t)archive_entry_mtime_nsec(entry) % 1000000000};

	return tree_enter(ret, layer->tree, path, &like, err);
}

static int put(struct layer *layer, const struct member *member, struct archive_entry *entry, struct annex_error **err)
{
	const char *target = archive_entry_hardlink(entry);
	struct tree_node *folder = NULL;
	struct tree_name *name;

	if (!target && archive_entry_filetype(entry) == AE_IFSOCK)
		return 0;
	if (enter_folder(&folder, layer, member->folder, entry, err) < 0)
		return -1;
	if (target)
		return put_link(layer, folder, member->name, target, err);
	name = tree_find(folder, member->name);
	if (!name || !name->node->folder || archive_entry_filetype(entry) != AE_IFDIR)
		return put_new(layer, folder, member->name, entry, err);
	tree_touch(layer->tree, name);
	return take_metadata(layer, name->node, entry, err);
}

static int take_entry(struct layer *layer, struct archive_entry *entry, const char *path, struct annex_error **err)
{
	auto_member struct member member = {0};
	struct tree_node *folder = NULL;

	if (member_parse(&member, path, err) < 0)
		return -1;
	switch (member.kind) {
	case MEMBER_IGNORED:
		return 0;
	case MEMBER_ENTRY:
		return put(layer, &member, entry, err);
	case MEMBER_ROOT:
		if (archive_entry_hardlink(entry) || archive_entry_filetype(entry) != AE_IFDIR)
			return fail(err, ANNEX_ERROR_CORRUPT, "the root is not a folder");
		return take_metadata(layer, tree_root(layer->tree), entry, err);
	case MEMBER_WHITEOUT:
	case MEMBER_OPAQUE:
		break;
	}
	if (tree_enter(&folder, layer->tree, member.folder, NULL, err) < 0)
		return -1;
	if (!folder)
		return 0;
	return member.kind == MEMBER_OPAQUE ? tree_hide_all(layer->tree, folder, err)
					    : tree_hide(layer->tree, folder, member.name, err);
}

static int take_all(struct layer *layer, struct annex_error **err)
{
	struct archive_entry *entry;
	const char *path;
	int got;

	while ((got = archive_read_next_header(layer->archive, &entry)) == ARCHIVE_OK || got == ARCHIVE_WARN) {
		path = archive_entry_pathname(entry);
		if (!path)
			return fail(err, ANNEX_ERROR_CORRUPT, "an entry without a name");
		if (take_entry(layer, entry, path, err) < 0)
			return fail_while(err, "%s", path);
	}
	return got == ARCHIVE_EOF ? 0 : fail_archive(layer, err);
}

static int decode(struct layer *layer, struct annex_error **err)
{
	int result;

	layer->archive = archive_read_new();
	if (!layer->archive)
		return fail_memory(err);
	if (archive_read_support_format_tar(layer->archive) != ARCHIVE_OK ||
	    archive_read_open(layer->archive, layer, NULL, read_piece, NULL) != ARCHIVE_OK)
		result = fail_archive(layer, err);
	else
		result = take_all(layer, err);
	archive_read_free(layer->archive);
	annex_error_free(layer->error);
	return result;
}

/* A blob that is not what its digest says explains whatever was wrong in it. */
static int fail_digest(struct layer *layer, struct annex_error **err)
{
	auto_error struct annex_error *cause = NULL;

	if (layer->stream_failed || !err || annex_error_kind(*err) != ANNEX_ERROR_CORRUPT)
		return -1;
	if (tarball_finish(layer->tarball, &cause) < 0 && annex_error_kind(cause) == ANNEX_ERROR_CORRUPT) {
		annex_error_free(*err);
		*err = TAKE(cause);
	}
	return -1;
}

/* The thread's locale meanwhile is "C". */
static int decode_in_c(struct layer *layer, struct annex_error **err)
{
	locale_t plain = newlocale(LC_ALL_MASK, "C", NULL), before;
	int result;

	if (!plain)
		return fail_memory(err);
	before = uselocale(plain);
	result = decode(layer, err);
	uselocale(before);
	freelocale(plain);
	return result;
}

int layer_apply(struct tree *tree, struct blocks *blocks, const struct rootfs_layer *from,
		const struct layer_progress *progress, uint64_t *written, struct annex_error **err)
{
	auto_tarball struct tarball *tarball = NULL;
	struct layer layer = {.tree = tree, .blocks = blocks, .progress = progress, .written = written};

	if (tarball_open(&tarball, from, err) < 0)
		return -1;
	layer.tarball = tarball;
	tree_next_layer(tree);
	if (decode_in_c(&layer, err) < 0)
		return fail_digest(&layer, err);
	return tarball_finish(tarball, err);
}
