/*
 * One layer: libarchive decodes the tar stream (no filters of its own, no other format), each entry becomes one of the
 * index. What the entries do to the image is decided later, when the layers are merged.
 */
#include "rootfs/layer.h"

#include "base/text.h"
#include "rootfs/attribute.h"
#include "rootfs/contents.h"
#include "rootfs/locale.h"
#include "rootfs/member.h"
#include "rootfs/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct layer {
	struct blocks_writer *blocks;
	struct index_writer *index;
	struct tarball *tarball;
	struct archive *archive;
	const struct stop *stop;
	uint64_t room;             /* bytes that may be read before the next step is reached */
	struct annex_error *error; /* of the read callback, which libarchive can't carry */
	bool stream_failed;        /* there was one */
};

static int fail_headers(struct annex_error **err)
{
	return fail(err, ANNEX_ERROR_CORRUPT,
		    "the headers of an entry are larger than %u KiB, or %u KiB with a sparse map", LAYER_HEADERS >> 10,
		    LAYER_MAP >> 10);
}

static la_ssize_t read_piece(struct archive *archive, void *data, const void **ret)
{
	struct layer *layer = data;
	size_t size = 0;

	(void)archive;
	if (stop_is_raised(layer->stop))
		return fail(&layer->error, ANNEX_ERROR_CANCELLED, "cancelled");
	if (tarball_read(layer->tarball, ret, &size, &layer->error) < 0)
		return -1;
	if (size > layer->room)
		return fail_headers(&layer->error);
	layer->room -= size;
	return (la_ssize_t)size;
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

static int read_contents(struct layer *layer, uint64_t size, struct annex_error **err)
{
	struct contents contents = {.blocks = layer->blocks, .index = layer->index};
	const void *bytes;
	la_int64_t offset;
	size_t n;
	int got;

	while ((got = archive_read_data_block(layer->archive, &bytes, &n, &offset)) == ARCHIVE_OK) {
		if (contents_write(&contents, (uint64_t)offset, bytes, n, err) < 0)
			return -1;
	}
	if (got != ARCHIVE_EOF)
		return fail_archive(layer, err);
	return contents_finish(&contents, size, err);
}

/* libarchive gives -1.25 as -1 s and 0.25 s, since it reads the digits behind the point by themselves. (From -0.25 it
 * loses the sign; nothing can be done about that here.) */
static void take_time(struct index_entry *to, struct archive_entry *entry)
{
	to->mtime = archive_entry_mtime(entry);
	to->mtime_ns = (uint32_t)archive_entry_mtime_nsec(entry) % 1000000000;
	if (to->mtime < 0 && to->mtime_ns > 0 && to->mtime > INT64_MIN) {
		to->mtime--;
		to->mtime_ns = 1000000000 - to->mtime_ns;
	}
}

static int take_metadata(struct index_entry *to, struct archive_entry *entry, struct annex_error **err)
{
	int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);

	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return fail(err, ANNEX_ERROR_CORRUPT, "its owner is no 32-bit number");
	to->mode = archive_entry_filetype(entry);
	to->mode |= S_ISLNK(to->mode) ? 0777 : archive_entry_perm(entry) & 07777;
	to->uid = (uint32_t)uid;
	to->gid = (uint32_t)gid;
	return 0;
}

static int take_size(struct index_entry *to, struct archive_entry *entry, struct annex_error **err)
{
	int64_t size = archive_entry_size(entry);

	if (size < 0 || (uint64_t)size > ROOTFS_FILE)
		return fail(err, ANNEX_ERROR_CORRUPT, "its size is negative or too large");
	to->size = (uint64_t)size;
	return 0;
}

static int take_target(struct index_entry *to, struct archive_entry *entry, struct annex_error **err)
{
	const char *target = archive_entry_symlink(entry);

	if (!target || !*target || strlen(target) >= ROOTFS_PATH)
		return fail(err, ANNEX_ERROR_CORRUPT, "a symbolic link without a target, or with one too long");
	to->target = target;
	return 0;
}

static int take_device(struct index_entry *to, struct archive_entry *entry, struct annex_error **err)
{
	dev_t major = archive_entry_rdevmajor(entry), minor = archive_entry_rdevminor(entry);

	if (major >= 1u << 12 || minor >= 1u << 20)
		return fail(err, ANNEX_ERROR_CORRUPT, "device numbers that Linux has not");
	to->major = (uint32_t)major;
	to->minor = (uint32_t)minor;
	return 0;
}

/* What only the entry's type has. */
static int take_by_type(struct index_entry *to, struct archive_entry *entry, struct annex_error **err)
{
	switch (to->mode & S_IFMT) {
	case S_IFREG:
		return take_size(to, entry, err);
	case S_IFLNK:
		return take_target(to, entry, err);
	case S_IFCHR:
	case S_IFBLK:
		return take_device(to, entry, err);
	case S_IFDIR:
	case S_IFIFO:
		return 0;
	default:
		return fail(err, ANNEX_ERROR_CORRUPT, "a file of a kind that Linux has not");
	}
}

static int take_node(struct layer *layer, struct index_entry *to, struct archive_entry *entry, struct annex_error **err)
{
	auto_text struct text packed = {0};

	to->kind = INDEX_NODE;
	if (take_metadata(to, entry, err) < 0 || take_by_type(to, entry, err) < 0 ||
	    attribute_pack(&packed, &to->mode, entry, err) < 0)
		return -1;
	to->attributes = packed.data;
	to->attributes_size = (uint32_t)packed.size;
	if (index_put(layer->index, to, err) < 0)
		return -1;
	return S_ISREG(to->mode) ? read_contents(layer, to->size, err) : 0;
}

static int take_link(struct layer *layer, struct index_entry *to, const char *target, struct annex_error **err)
{
	auto_member struct member member = {0};
	char path[ROOTFS_PATH];

	if (member_parse(&member, target, err) < 0)
		return -1;
	if (member.kind != MEMBER_ENTRY)
		return fail(err, ANNEX_ERROR_CORRUPT, "a hard link to %.256s, which is not there", target);
	to->kind = INDEX_LINK;
	to->target = member_path(path, &member);
	return index_put(layer->index, to, err);
}

static int take_named(struct layer *layer, struct index_entry *to, struct archive_entry *entry,
		      struct annex_error **err)
{
	const char *target = archive_entry_hardlink(entry);

	if (target)
		return take_link(layer, to, target, err);
	if (archive_entry_filetype(entry) == AE_IFSOCK)
		return 0;
	return take_node(layer, to, entry, err);
}

static int take_entry(struct layer *layer, struct archive_entry *entry, const char *name, struct annex_error **err)
{
	auto_member struct member member = {0};
	char path[ROOTFS_PATH];
	struct index_entry to = {.target = ""};

	if (member_parse(&member, name, err) < 0)
		return -1;
	to.path = member_path(path, &member);
	take_time(&to, entry);
	switch (member.kind) {
	case MEMBER_IGNORED:
		return 0;
	case MEMBER_ENTRY:
		return take_named(layer, &to, entry, err);
	case MEMBER_ROOT:
		if (archive_entry_hardlink(entry) || archive_entry_filetype(entry) != AE_IFDIR)
			return fail(err, ANNEX_ERROR_CORRUPT, "the root is not a folder");
		return take_node(layer, &to, entry, err);
	case MEMBER_WHITEOUT:
		to.kind = INDEX_WHITEOUT;
		return index_put(layer->index, &to, err);
	case MEMBER_OPAQUE:
		to.kind = INDEX_OPAQUE;
		return index_put(layer->index, &to, err);
	}
	return 0;
}

/* *ret is NULL at the end. What libarchive makes of large headers can take it long (it looks through an access list for
 * each entry of it), or much memory (32 bytes for 4 of a sparse file's map), so they are limited. */
static int next_entry(struct archive_entry **ret, struct layer *layer, struct annex_error **err)
{
	int64_t before = archive_filter_bytes(layer->archive, 0);
	int got;

	layer->room = LAYER_MAP;
	got = archive_read_next_header(layer->archive, ret);
	layer->room = UINT64_MAX;
	if (got == ARCHIVE_EOF) {
		*ret = NULL;
		return 0;
	}
	if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
		return fail_archive(layer, err);
	if (archive_filter_bytes(layer->archive, 0) - before > LAYER_HEADERS && archive_entry_sparse_count(*ret) == 0)
		return fail_headers(err);
	return 0;
}

static int take_all(struct layer *layer, struct annex_error **err)
{
	struct archive_entry *entry;
	const char *path;

	for (;;) {
		if (next_entry(&entry, layer, err) < 0)
			return -1;
		if (!entry)
			return 0;
		path = archive_entry_pathname(entry);
		if (!path)
			return fail(err, ANNEX_ERROR_CORRUPT, "an entry without a name");
		if (take_entry(layer, entry, path, err) < 0)
			return fail_while(err, "%.256s", path);
		if (archive_read_data_skip(layer->archive) < ARCHIVE_WARN)
			return fail_archive(layer, err);
	}
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

static int decode_plain(struct layer *layer, struct annex_error **err)
{
	auto_locale_plain struct locale_plain locale = {0};

	return locale_enter_plain(&locale) < 0 ? fail_memory(err) : decode(layer, err);
}

int layer_decode(const struct rootfs_layer *from, struct blocks *blocks, const struct stop *stop,
		 _Atomic uint64_t *done, struct annex_error **err)
{
	auto_blocks_writer struct blocks_writer *writer = NULL;
	auto_index_writer struct index_writer *index = NULL;
	auto_tarball struct tarball *tarball = NULL;
	struct layer layer = {.stop = stop, .room = UINT64_MAX};
	int result = blocks_writer_new(&writer, blocks);

	if (result < 0)
		return fail_memory(err);
	if (index_writer_new(&index, from->index, from->diff_id, err) < 0 ||
	    tarball_open(&tarball, from, stop, done, err) < 0)
		return -1;
	layer.blocks = writer;
	layer.index = index;
	layer.tarball = tarball;
	if (decode_plain(&layer, err) < 0)
		return fail_digest(&layer, err);
	if (tarball_finish(tarball, err) < 0)
		return -1;
	result = blocks_flush(writer);
	if (result < 0)
		return contents_fail(result, err);
	return index_finish(index, err);
}
