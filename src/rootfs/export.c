/*
 * An index is read entry by entry, and each becomes an entry of libarchive's writer. A file with large holes is written
 * as a sparse one; the small ones that come from blocks of zeros are filled in again.
 */
#include "rootfs/export.h"

#include "base/text.h"
#include "rootfs/attribute.h"
#include "rootfs/index.h"
#include "rootfs/locale.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
	CHUNK = 256 << 10,     /* bytes read from the disk at once */
	ZEROS = 256 << 20,     /* bytes of holes passed over at once: files can have terabytes of them */
	HOLE = 1 << 20,        /* bytes of holes that make a file a sparse one */
	SINK_BLOCK = 128 << 10 /* bytes that the sink gets at once */
};

struct extents {
	struct blocks_extent *items;
	size_t count, capacity;
	uint64_t blocks; /* of all */
};

struct export
{
	int disk;
	struct index_reader *reader;
	struct archive *archive;
	struct archive_entry *entry;
	struct extents extents; /* of the file at hand */
	export_sink_fn *sink;
	void *data;
	int sink_error; /* -errno */
	unsigned char *chunk;
	const unsigned char *zeros; /* a mapping, nearly none of which is ever read */
};

/* Never fails, as libarchive leaks its buffer then. What comes after an error is dropped. */
static la_ssize_t write_piece(struct archive *archive, void *data, const void *bytes, size_t size)
{
	struct export *export = data;

	(void)archive;
	if (export->sink_error == 0)
		export->sink_error = export->sink(bytes, size, export->data);
	return (la_ssize_t)size;
}

static int fail_archive(struct export *export, struct annex_error **err)
{
	const char *text = archive_error_string(export->archive);

	if (export->sink_error)
		return fail_os(err, export->sink_error, "cannot write the archive");
	return fail(err, ANNEX_ERROR_SYSTEM, "cannot make a tar archive (%s)", text ? text : "unknown");
}

static int read_extents(struct export *export, struct annex_error **err)
{
	struct extents *extents = &export->extents;
	const struct blocks_extent *extent = NULL;

	extents->count = 0;
	extents->blocks = 0;
	for (;;) {
		if (index_next_extent(&extent, export->reader, err) < 0)
			return -1;
		if (!extent)
			return 0;
		if (extents->count == extents->capacity) {
			size_t capacity = extents->capacity ? extents->capacity * 2 : 64;
			struct blocks_extent *grown = reallocarray(extents->items, capacity, sizeof(*grown));

			if (!grown)
				return fail_memory(err);
			extents->items = grown;
			extents->capacity = capacity;
		}
		extents->items[extents->count++] = *extent;
		extents->blocks += extent->count;
	}
}

/* The part of an extent that lies within the file: its last block may reach beyond the end. */
static uint64_t extent_start(const struct blocks_extent *extent)
{
	return (uint64_t)extent->logical * BLOCKS_SIZE;
}

static uint64_t extent_end(const struct blocks_extent *extent, uint64_t size)
{
	uint64_t end = extent_start(extent) + (uint64_t)extent->count * BLOCKS_SIZE;

	return end < size ? end : size;
}

static void describe_holes(struct export *export, uint64_t size)
{
	for (size_t i = 0; i < export->extents.count; i++) {
		const struct blocks_extent *extent = &export->extents.items[i];
		uint64_t start = extent_start(extent), end = extent_end(extent, size);

		if (start < end)
			archive_entry_sparse_add_entry(export->entry, (la_int64_t)start, (la_int64_t)(end - start));
	}
	if (export->extents.count == 0)
		archive_entry_sparse_add_entry(export->entry, (la_int64_t)size, 0);
}

static int put_bytes(struct export *export, const void *bytes, size_t size, struct annex_error **err)
{
	la_ssize_t n = archive_write_data(export->archive, bytes, size);

	return n == (la_ssize_t)size && export->sink_error == 0 ? 0 : fail_archive(export, err);
}

/* libarchive drops what lies in holes of a sparse file itself. */
static int put_zeros(struct export *export, uint64_t size, struct annex_error **err)
{
	while (size > 0) {
		size_t part = size < ZEROS ? size : ZEROS;

		if (put_bytes(export, export->zeros, part, err) < 0)
			return -1;
		size -= part;
	}
	return 0;
}

static int put_extent(struct export *export, const struct blocks_extent *extent, uint64_t size,
		      struct annex_error **err)
{
	uint64_t at = extent->physical * BLOCKS_SIZE;

	while (size > 0) {
		size_t part = size < CHUNK ? size : CHUNK;
		ssize_t n = pread(export->disk, export->chunk, part, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_os(err, n < 0 ? errno : EIO, "cannot read the base disk");
		if (put_bytes(export, export->chunk, (size_t)n, err) < 0)
			return -1;
		at += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return 0;
}

static int put_contents(struct export *export, uint64_t size, struct annex_error **err)
{
	uint64_t position = 0;

	for (size_t i = 0; i < export->extents.count; i++) {
		const struct blocks_extent *extent = &export->extents.items[i];
		uint64_t start = extent_start(extent), end = extent_end(extent, size);

		if (start < position || start >= end)
			return fail(err, ANNEX_ERROR_CORRUPT, "the index of the layer is damaged");
		if (put_zeros(export, start - position, err) < 0 || put_extent(export, extent, end - start, err) < 0)
			return -1;
		position = end;
	}
	return put_zeros(export, size - position, err);
}

static void describe_attributes(struct archive_entry *entry, const struct index_entry *from)
{
	struct attribute attribute;
	uint32_t at = 0;

	while (attribute_next(&attribute, &at, from->attributes, from->attributes_size))
		archive_entry_xattr_add_entry(entry, attribute.name, attribute.value, attribute.size);
}

static void describe_node(struct archive_entry *entry, const struct index_entry *from)
{
	archive_entry_copy_pathname(entry, *from->path ? from->path : ".");
	archive_entry_set_mode(entry, (mode_t)from->mode);
	archive_entry_set_uid(entry, from->uid);
	archive_entry_set_gid(entry, from->gid);
	archive_entry_set_mtime(entry, from->mtime, from->mtime_ns);
	if (S_ISLNK(from->mode))
		archive_entry_copy_symlink(entry, from->target);
	if (S_ISCHR(from->mode) || S_ISBLK(from->mode)) {
		archive_entry_set_rdevmajor(entry, from->major);
		archive_entry_set_rdevminor(entry, from->minor);
	}
	archive_entry_set_size(entry, S_ISREG(from->mode) ? (la_int64_t)from->size : 0);
	describe_attributes(entry, from);
}

/* "FOLDER/PREFIXname" of a path. */
static int describe_mark(struct archive_entry *entry, const char *folder, size_t folder_size, const char *mark,
			 const char *name)
{
	auto_text struct text path = {0};

	text_add_bytes(&path, folder, folder_size);
	if (folder_size > 0 && folder[folder_size - 1] != '/')
		text_add_char(&path, '/');
	text_add(&path, mark);
	text_add(&path, name);
	if (!text_ok(&path))
		return -ENOMEM;
	archive_entry_copy_pathname(entry, path.data);
	archive_entry_set_mode(entry, S_IFREG);
	archive_entry_set_size(entry, 0);
	return 0;
}

static int describe(struct archive_entry *entry, const struct index_entry *from)
{
	const char *slash = strrchr(from->path, '/'), *name = slash ? slash + 1 : from->path;

	switch (from->kind) {
	case INDEX_NODE:
		describe_node(entry, from);
		return 0;
	case INDEX_LINK:
		archive_entry_copy_pathname(entry, from->path);
		archive_entry_set_mode(entry, S_IFREG | 0644);
		archive_entry_set_mtime(entry, from->mtime, from->mtime_ns);
		archive_entry_copy_hardlink(entry, from->target);
		return 0;
	case INDEX_WHITEOUT:
		return describe_mark(entry, from->path, (size_t)(name - from->path), ".wh.", name);
	case INDEX_OPAQUE:
		return describe_mark(entry, from->path, strlen(from->path), ".wh..wh..opq", "");
	}
	return -EINVAL;
}

static int put_entry(struct export *export, const struct index_entry *from, struct annex_error **err)
{
	bool is_file = from->kind == INDEX_NODE && S_ISREG(from->mode);
	uint64_t size = from->size;
	int result;

	archive_entry_clear(export->entry);
	result = describe(export->entry, from);
	if (result < 0)
		return fail_os(err, result, "cannot describe an entry");
	/* From here on `from` is not valid any more. */
	if (is_file && read_extents(export, err) < 0)
		return -1;
	if (is_file && size > export->extents.blocks * BLOCKS_SIZE + HOLE)
		describe_holes(export, size);
	result = archive_write_header(export->archive, export->entry);
	if ((result != ARCHIVE_OK && result != ARCHIVE_WARN) || export->sink_error)
		return fail_archive(export, err);
	return is_file ? put_contents(export, size, err) : 0;
}

static int finish(struct export *export, struct annex_error **err)
{
	int result = archive_write_close(export->archive);

	return result == ARCHIVE_OK && export->sink_error == 0 ? 0 : fail_archive(export, err);
}

static int put_all(struct export *export, struct annex_error **err)
{
	const struct index_entry *entry = NULL;

	for (;;) {
		if (index_next(&entry, export->reader, err) < 0)
			return -1;
		if (!entry)
			return finish(export, err);
		if (put_entry(export, entry, err) < 0)
			return -1;
	}
}

static int run(struct export *export, struct annex_error **err)
{
	export->archive = archive_write_new();
	export->entry = archive_entry_new();
	export->chunk = malloc(CHUNK);
	if (!export->archive || !export->entry || !export->chunk)
		return fail_memory(err);
	if (archive_write_set_format_pax(export->archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(export->archive, SINK_BLOCK) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(export->archive, 1) != ARCHIVE_OK ||
	    archive_write_open(export->archive, export, NULL, write_piece, NULL) != ARCHIVE_OK)
		return fail_archive(export, err);
	return put_all(export, err);
}

static int run_plain(struct export *export, struct annex_error **err)
{
	auto_locale_plain struct locale_plain locale = {0};
	int result;

	if (locale_enter_plain(&locale) < 0)
		return fail_memory(err);
	result = run(export, err);
	if (result < 0 && export->archive) {
		/* Closes without the rest of the entry, and lets go of the buffer. */
		export->sink_error = export->sink_error ? export->sink_error : -ECANCELED;
		archive_write_fail(export->archive);
		archive_write_close(export->archive);
	}
	archive_write_free(export->archive);
	return result;
}

int export_layer(int disk, int index, const char *diff_id, export_sink_fn *sink, void *data, struct annex_error **err)
{
	void *zeros = mmap(NULL, ZEROS, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct export export = {.disk = disk, .sink = sink, .data = data, .zeros = zeros};
	auto_index_reader struct index_reader *reader = NULL;
	struct stat st;
	int result;

	if (zeros == MAP_FAILED)
		return fail_memory(err);
	result = fstat(disk, &st) < 0 ? fail_os(err, errno, "cannot read the base disk") : 0;
	if (result == 0)
		result = index_reader_new(&reader, index, diff_id, (uint64_t)st.st_size / BLOCKS_SIZE, err);
	export.reader = reader;
	if (result == 0)
		result = run_plain(&export, err);
	munmap(zeros, ZEROS);
	archive_entry_free(export.entry);
	free(export.extents.items);
	free(export.chunk);
	return result;
}
