/* Lists everything in an ext4 file system, one JSON object a line, for tests to compare: rootfs-list IMAGE
 * Names, targets and attributes are in hexadecimal; the contents of regular files are given by their digest. */
#include "base/digest.h"
#include "base/text.h"

#include <ext2fs/ext2fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct list {
	ext2_filsys fs;
	char path[8192];
	size_t length;
	int failures;
};

static void print_hex(const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	putchar('"');
	for (size_t i = 0; i < size; i++)
		printf("%02x", at[i]);
	putchar('"');
}

static int print_attribute(char *name, char *value, size_t size, void *data)
{
	struct ext2_xattr_handle *handle = ((void **)data)[0];
	int *count = ((void **)data)[1];
	void *converted = NULL;
	size_t converted_size = 0;

	(void)value;
	(void)size;
	if (ext2fs_xattr_get(handle, name, &converted, &converted_size))
		return XATTR_ABORT;
	printf("%s\"%s\": ", (*count)++ ? ", " : "", name);
	print_hex(converted, converted_size);
	ext2fs_free_mem(&converted);
	return 0;
}

static void print_attributes(struct list *list, ext2_ino_t number)
{
	struct ext2_xattr_handle *handle = NULL;
	int count = 0;

	printf(", \"attributes\": {");
	if (ext2fs_xattrs_open(list->fs, number, &handle) || ext2fs_xattrs_read(handle) ||
	    ext2fs_xattrs_iterate(handle, print_attribute, (void *[]){handle, &count}))
		list->failures++;
	ext2fs_xattrs_close(&handle);
	putchar('}');
}

static void print_contents(struct list *list, ext2_ino_t number, struct ext2_inode_large *inode)
{
	auto_digest struct digest *digest = NULL;
	static char chunk[1 << 16];
	char text[DIGEST_TEXT];
	ext2_file_t file;
	unsigned got = 0;

	if (digest_new(&digest) < 0 || ext2fs_file_open2(list->fs, number, ext2fs_inode(inode), 0, &file)) {
		list->failures++;
		return;
	}
	while (ext2fs_file_read(file, chunk, sizeof(chunk), &got) == 0 && got > 0) {
		if (S_ISLNK(inode->i_mode)) {
			printf(", \"target\": ");
			print_hex(chunk, got);
		}
		digest_add(digest, chunk, got);
	}
	ext2fs_file_close(file);
	digest_finish(digest, text);
	if (S_ISREG(inode->i_mode))
		printf(", \"digest\": \"%s\"", text);
}

static void print_device(const struct ext2_inode_large *inode)
{
	uint32_t old = inode->i_block[0], new = inode->i_block[1];
	uint32_t major = old ? old >> 8 & 0xff : new >> 8 & 0xfff;
	uint32_t minor = old ? old & 0xff : (new & 0xff) | (new >> 12 & 0xfff00);

	printf(", \"device\": [%u, %u]", major, minor);
}

static void print_node(struct list *list, ext2_ino_t number, struct ext2_inode_large *inode)
{
	int64_t seconds = (int32_t)inode->i_mtime + ((int64_t)(inode->i_mtime_extra & EXT4_EPOCH_MASK) << 32);

	printf("{\"path\": ");
	print_hex(list->path, list->length);
	printf(", \"number\": %u, \"mode\": %u, \"uid\": %u, \"gid\": %u, \"links\": %u, \"size\": %llu", number,
	       inode->i_mode, inode->i_uid | (unsigned)inode->i_uid_high << 16,
	       inode->i_gid | (unsigned)inode->i_gid_high << 16, inode->i_links_count,
	       (unsigned long long)EXT2_I_SIZE(inode));
	printf(", \"mtime\": %lld, \"sectors\": %llu, \"same_times\": %s",
	       (long long)seconds * 1000000000 + (inode->i_mtime_extra >> EXT4_EPOCH_BITS),
	       (unsigned long long)ext2fs_get_stat_i_blocks(list->fs, ext2fs_inode(inode)),
	       inode->i_atime == inode->i_mtime && inode->i_ctime == inode->i_mtime &&
			       inode->i_atime_extra == inode->i_mtime_extra &&
			       inode->i_ctime_extra == inode->i_mtime_extra
		       ? "true"
		       : "false");
	if (S_ISLNK(inode->i_mode) && ext2fs_is_fast_symlink(ext2fs_inode(inode))) {
		printf(", \"target\": ");
		print_hex(inode->i_block, inode->i_size);
	} else if (S_ISREG(inode->i_mode) || S_ISLNK(inode->i_mode)) {
		print_contents(list, number, inode);
	}
	if (S_ISCHR(inode->i_mode) || S_ISBLK(inode->i_mode))
		print_device(inode);
	print_attributes(list, number);
	printf("}\n");
}

static int visit(ext2_ino_t parent, int entry, struct ext2_dir_entry *dirent, int offset, int size, char *buffer,
		 void *data);

static void walk(struct list *list, ext2_ino_t number)
{
	_Alignas(8) char space[256] = {0};
	struct ext2_inode_large *inode = (struct ext2_inode_large *)(void *)space;

	if (ext2fs_read_inode_full(list->fs, number, ext2fs_inode(inode), sizeof(space))) {
		list->failures++;
		return;
	}
	print_node(list, number, inode);
	if (S_ISDIR(inode->i_mode) && ext2fs_dir_iterate2(list->fs, number, 0, NULL, visit, list))
		list->failures++;
}

static int visit(ext2_ino_t parent, int entry, struct ext2_dir_entry *dirent, int offset, int size, char *buffer,
		 void *data)
{
	struct list *list = data;
	size_t before = list->length, name = (size_t)ext2fs_dirent_name_len(dirent);

	(void)parent;
	(void)offset;
	(void)size;
	(void)buffer;
	if (entry != DIRENT_OTHER_FILE || before + name + 2 > sizeof(list->path))
		return 0;
	if (before)
		list->path[list->length++] = '/';
	memcpy(list->path + list->length, dirent->name, name);
	list->length += name;
	walk(list, dirent->inode);
	list->length = before;
	return 0;
}

int main(int argc, char **argv)
{
	struct list list = {0};
	errcode_t code;

	if (argc != 2) {
		fprintf(stderr, "usage: rootfs-list IMAGE\n");
		return 2;
	}
	code = ext2fs_open2(argv[1], "", EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &list.fs);
	if (code) {
		fprintf(stderr, "%s: error %ld\n", argv[1], (long)code);
		return 1;
	}
	walk(&list, EXT2_ROOT_INO);
	ext2fs_free(list.fs);
	return list.failures > 0;
}
