/*
 * Building: all layers are decoded at once (rootfs/build.h), the contents of files straight to their places in the
 * image and everything else to an index for each layer (rootfs/index.h). The indexes are merged, in order, into a tree
 * in memory (rootfs/tree.h); when all are in, the file system is written around the contents (rootfs/ext4.h). One pass,
 * and no size needs to be known before. A reader for finished file systems follows below.
 */
#include "rootfs/rootfs.h"

#include "base/text.h"
#include "rootfs/blocks.h"
#include "rootfs/build.h"
#include "rootfs/ext4.h"
#include "rootfs/tree.h"

#include <string.h>
#include <sys/stat.h>

int rootfs_build(int disk, const struct rootfs_layer *layers, size_t count, const struct rootfs_events *events,
		 uint64_t *ret_size, struct annex_error **err)
{
	static const struct rootfs_events none;
	auto_blocks struct blocks *blocks = NULL;
	auto_tree struct tree *tree = NULL;

	events = events ? events : &none;
	if (build_layers(&tree, &blocks, disk, layers, count, events, err) < 0)
		return -1;
	if (events->finishing)
		events->finishing(events->data);
	return ext4_write(tree, blocks, ret_size, err);
}

struct rootfs {
	ext2_filsys fs;
	char *path;
};

int rootfs_open(struct rootfs **ret, const char *path, struct annex_error **err)
{
	auto_rootfs struct rootfs *rootfs = calloc(1, sizeof(*rootfs));
	errcode_t code;

	if (!rootfs)
		return fail_memory(err);
	rootfs->path = strdup(path);
	if (!rootfs->path)
		return fail_memory(err);
	/* Options, even empty ones, keep it from looking for some in the name. */
	code = ext2fs_open2(path, "", EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &rootfs->fs);
	if (code) {
		ext4_fail(err, code, "cannot read the disk image");
		return fail_while(err, "%s", path);
	}
	*ret = TAKE(rootfs);
	return 0;
}

void rootfs_free(struct rootfs *rootfs)
{
	if (!rootfs)
		return;
	if (rootfs->fs)
		ext2fs_free(rootfs->fs);
	free(rootfs->path);
	free(rootfs);
}

/* Contents of a file or the target of a link. -errno. */
static int read_node(struct rootfs *rootfs, ext2_ino_t number, struct ext2_inode *inode, char *to, size_t size)
{
	ext2_file_t file;
	unsigned got = 0;
	errcode_t code;

	if (S_ISLNK(inode->i_mode) && ext2fs_is_fast_symlink(inode)) {
		memcpy(to, inode->i_block, size);
		return 0;
	}
	code = ext2fs_file_open2(rootfs->fs, number, inode, 0, &file);
	if (code)
		return -EIO;
	for (size_t done = 0; done < size && !code; done += got) {
		size_t ask = size - done < (1u << 30) ? size - done : 1u << 30;

		code = ext2fs_file_read(file, to + done, (unsigned)ask, &got);
		if (!code && got == 0)
			code = EXT2_ET_SHORT_READ;
	}
	ext2fs_file_close(file);
	return code ? -EIO : 0;
}

/* What is walked: the path so far (no links in it) with the number of each component. */
struct walk {
	struct text done; /* "" is the root */
	ext2_ino_t numbers[ROOTFS_DEPTH + 1];
	size_t depth;
	char *rest;
	int links;
};

static int put_in_front(struct rootfs *rootfs, struct walk *walk, ext2_ino_t number, struct ext2_inode *inode,
			const char *left)
{
	size_t size = inode->i_size, tail = left ? strlen(left) : 0;
	char *joined;
	int result;

	if (++walk->links > ROOTFS_FOLLOW)
		return -ELOOP;
	if (inode->i_size_high || size >= ROOTFS_PATH || size + tail >= (size_t)2 * ROOTFS_PATH)
		return -ENAMETOOLONG;
	joined = malloc(size + tail + 2);
	if (!joined)
		return -ENOMEM;
	result = read_node(rootfs, number, inode, joined, size);
	if (result < 0) {
		free(joined);
		return result;
	}
	joined[size] = '/';
	memcpy(joined + size + 1, left ? left : "", tail + 1);
	if (joined[0] == '/') {
		walk->depth = 0;
		walk->done.size = 0;
	}
	free(walk->rest);
	walk->rest = joined;
	return 0;
}

static void step_back(struct walk *walk)
{
	if (walk->depth == 0)
		return;
	walk->depth--;
	while (walk->done.data[--walk->done.size] != '/')
		;
	walk->done.data[walk->done.size] = '\0';
}

static int step(struct rootfs *rootfs, struct walk *walk, const char *component, char **at, struct ext2_inode *inode)
{
	ext2_ino_t found = 0, here = walk->numbers[walk->depth];
	errcode_t code = ext2fs_lookup(rootfs->fs, here, component, (int)strlen(component), NULL, &found);
	int result;

	if (code)
		return code == EXT2_ET_FILE_NOT_FOUND ? -ENOENT : code == EXT2_ET_NO_DIRECTORY ? -ENOTDIR : -EIO;
	if (ext2fs_read_inode(rootfs->fs, found, inode))
		return -EIO;
	if (S_ISLNK(inode->i_mode)) {
		result = put_in_front(rootfs, walk, found, inode, *at);
		*at = walk->rest;
		return result;
	}
	if (walk->depth == ROOTFS_DEPTH)
		return -ENAMETOOLONG;
	walk->numbers[++walk->depth] = found;
	text_add_char(&walk->done, '/');
	text_add(&walk->done, component);
	return text_ok(&walk->done) ? 0 : -ENOMEM;
}

static int walk_all(struct rootfs *rootfs, struct walk *walk, const char *path, ext2_ino_t *ret,
		    struct ext2_inode *inode)
{
	char *at, *component;
	int result = 0;

	walk->numbers[0] = EXT2_ROOT_INO;
	walk->rest = at = strdup(path);
	if (!at)
		return -ENOMEM;
	while (result == 0 && (component = strsep(&at, "/"))) {
		if (!*component || strcmp(component, ".") == 0)
			continue;
		if (strcmp(component, "..") == 0)
			step_back(walk);
		else
			result = step(rootfs, walk, component, &at, inode);
	}
	*ret = walk->numbers[walk->depth];
	if (result == 0 && ext2fs_read_inode(rootfs->fs, *ret, inode))
		result = -EIO;
	return result;
}

static int resolve(struct rootfs *rootfs, const char *path, char **ret_path, ext2_ino_t *ret, struct ext2_inode *inode)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	char *found = NULL;
	int result;

	if (!walk)
		return -ENOMEM;
	result = walk_all(rootfs, walk, path, ret, inode);
	if (result == 0 && ret_path) {
		if (walk->depth == 0)
			text_add_char(&walk->done, '/');
		found = text_take(&walk->done);
		result = found ? 0 : -ENOMEM;
	}
	text_clear(&walk->done);
	free(walk->rest);
	free(walk);
	if (result == 0 && ret_path)
		*ret_path = found;
	return result;
}

int rootfs_resolve(struct rootfs *rootfs, const char *path, char **ret_path, uint32_t *ret_mode)
{
	struct ext2_inode inode;
	ext2_ino_t number = 0;
	int result = resolve(rootfs, path, ret_path, &number, &inode);

	if (result == 0 && ret_mode)
		*ret_mode = inode.i_mode;
	return result;
}

int rootfs_read_file(struct rootfs *rootfs, char **ret, size_t *ret_size, const char *path, size_t limit,
		     struct annex_error **err)
{
	auto_free char *bytes = NULL;
	struct ext2_inode inode;
	ext2_ino_t number = 0;
	int result = resolve(rootfs, path, NULL, &number, &inode);
	uint64_t size;

	if (result == -ENOMEM)
		return fail_memory(err);
	if (result == -EIO)
		return fail_os(err, result, "cannot read %s in the image", path);
	if (result < 0)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "the image has no %s: %s", path, strerror(-result));
	size = EXT2_I_SIZE(&inode);
	if (!S_ISREG(inode.i_mode) || size > limit)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s in the image is %s", path,
			    S_ISREG(inode.i_mode) ? "too large" : "not a regular file");
	bytes = malloc(size + 1);
	if (!bytes)
		return fail_memory(err);
	result = read_node(rootfs, number, &inode, bytes, size);
	if (result < 0)
		return fail_os(err, result, "cannot read %s in the image", path);
	bytes[size] = '\0';
	if (ret_size)
		*ret_size = size;
	*ret = TAKE(bytes);
	return 0;
}
