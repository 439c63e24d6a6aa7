/*
 * The format. Header: "annexly", the version as one byte, the diff id in 72 bytes. Then records: their size in 16 bits,
 * little endian, and that many bytes, of which the first is the kind. Numbers in them have seven bits a byte, lowest
 * first, with the eighth bit set in all but the last byte; texts have their length in front and a NUL behind.
 *
 *     entries     kind, mode, uid, gid, major, minor, mtime (its sign in the lowest bit), ns, size, path, target,
 *                 attributes (length and bytes)
 *     'x'         extents of the entry before: count, then logical, physical and count of each
 *     'e'         the end: number of entries; behind the record stands the CRC-32 of all before it
 *
 * Extents follow in records of their own, so that neither side holds more than one record, however sparse a file is.
 */
#include "rootfs/index.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "rootfs/attribute.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum {
	VERSION = 1,
	MAGIC_SIZE = 7,
	HEADER_SIZE = MAGIC_SIZE + 1 + DIGEST_TEXT,
	KIND_EXTENTS = 'x',
	KIND_END = 'e',
	FRAME = 2,    /* bytes of a record's size */
	CHECKSUM = 4, /* bytes of the CRC */
	BATCH = 512,  /* extents of one record: 27 bytes each at most */
	BUFFER = 4 * INDEX_RECORD
};
static const char magic[] = "annexly";

struct index_writer {
	int fd;
	uint64_t at; /* written so far */
	uint32_t crc;
	size_t filled, record; /* bytes in the buffer; where the record begun last starts */
	uint64_t entries;
	uint32_t extent_count; /* of the entry */
	uint32_t batched;
	struct blocks_extent batch[BATCH];
	unsigned char buffer[BUFFER];
};

static int flush(struct index_writer *writer, struct annex_error **err)
{
	int result = file_write_at(writer->fd, writer->buffer, writer->filled, writer->at);

	if (result < 0)
		return fail_os(err, -result, "cannot write the layer's index");
	writer->crc = (uint32_t)crc32(writer->crc, writer->buffer, (uInt)writer->filled);
	writer->at += writer->filled;
	writer->filled = 0;
	return 0;
}

static void put_number(struct index_writer *writer, uint64_t value)
{
	for (; value > 0x7f; value >>= 7)
		writer->buffer[writer->filled++] = (unsigned char)(value | 0x80);
	writer->buffer[writer->filled++] = (unsigned char)value;
}

static void put_bytes(struct index_writer *writer, const void *bytes, size_t size)
{
	put_number(writer, size);
	if (size)
		memcpy(writer->buffer + writer->filled, bytes, size);
	writer->filled += size;
}

static void put_text(struct index_writer *writer, const char *text)
{
	put_bytes(writer, text, strlen(text));
	writer->buffer[writer->filled++] = '\0';
}

/* There is room for a whole one from here on. */
static int begin(struct index_writer *writer, unsigned kind, struct annex_error **err)
{
	if (BUFFER - writer->filled < FRAME + INDEX_RECORD && flush(writer, err) < 0)
		return -1;
	writer->record = writer->filled;
	writer->filled += FRAME;
	writer->buffer[writer->filled++] = (unsigned char)kind;
	return 0;
}

static void end(struct index_writer *writer)
{
	size_t size = writer->filled - writer->record - FRAME;

	assert(size <= INDEX_RECORD);
	writer->buffer[writer->record] = (unsigned char)size;
	writer->buffer[writer->record + 1] = (unsigned char)(size >> 8);
}

static int put_batch(struct index_writer *writer, struct annex_error **err)
{
	if (writer->batched == 0)
		return 0;
	if (begin(writer, KIND_EXTENTS, err) < 0)
		return -1;
	put_number(writer, writer->batched);
	for (uint32_t i = 0; i < writer->batched; i++) {
		put_number(writer, writer->batch[i].logical);
		put_number(writer, writer->batch[i].physical);
		put_number(writer, writer->batch[i].count);
	}
	end(writer);
	writer->batched = 0;
	return 0;
}

int index_writer_new(struct index_writer **ret, int fd, const char *diff_id, struct annex_error **err)
{
	size_t length = strlen(diff_id);
	struct index_writer *writer;

	if (length >= DIGEST_TEXT)
		return fail(err, ANNEX_ERROR_CORRUPT, "not a diff id: %.100s", diff_id);
	writer = calloc(1, sizeof(*writer));
	if (!writer)
		return fail_memory(err);
	writer->fd = fd;
	memcpy(writer->buffer, magic, MAGIC_SIZE);
	writer->buffer[MAGIC_SIZE] = VERSION;
	memcpy(writer->buffer + MAGIC_SIZE + 1, diff_id, length);
	writer->filled = HEADER_SIZE;
	*ret = writer;
	return 0;
}

void index_writer_free(struct index_writer *writer)
{
	free(writer);
}

int index_put(struct index_writer *writer, const struct index_entry *entry, struct annex_error **err)
{
	uint64_t mtime = (uint64_t)entry->mtime << 1 ^ (entry->mtime < 0 ? UINT64_MAX : 0);

	if (++writer->entries > ROOTFS_ENTRIES)
		return fail(err, ANNEX_ERROR_CORRUPT, "the layer has more than %u entries", ROOTFS_ENTRIES);
	if (put_batch(writer, err) < 0 || begin(writer, entry->kind, err) < 0)
		return -1;
	assert(strlen(entry->path) < ROOTFS_PATH && strlen(entry->target) < ROOTFS_PATH);
	assert(entry->attributes_size <= ATTRIBUTE_PACKED);
	put_number(writer, entry->mode);
	put_number(writer, entry->uid);
	put_number(writer, entry->gid);
	put_number(writer, entry->major);
	put_number(writer, entry->minor);
	put_number(writer, mtime);
	put_number(writer, entry->mtime_ns);
	put_number(writer, entry->size);
	put_text(writer, entry->path);
	put_text(writer, entry->target);
	put_bytes(writer, entry->attributes, entry->attributes_size);
	end(writer);
	writer->extent_count = 0;
	return 0;
}

int index_put_extent(struct index_writer *writer, const struct blocks_extent *extent, struct annex_error **err)
{
	struct blocks_extent *last = writer->batched ? &writer->batch[writer->batched - 1] : NULL;

	if (last && last->logical + last->count == extent->logical &&
	    last->physical + last->count == extent->physical && last->count + extent->count <= BLOCKS_LONGEST_EXTENT) {
		last->count += extent->count;
		return 0;
	}
	if (++writer->extent_count > INDEX_EXTENTS)
		return fail(err, ANNEX_ERROR_CORRUPT, "its contents are in more than %d pieces", INDEX_EXTENTS);
	if (writer->batched == BATCH && put_batch(writer, err) < 0)
		return -1;
	writer->batch[writer->batched++] = *extent;
	return 0;
}

int index_finish(struct index_writer *writer, struct annex_error **err)
{
	uint32_t crc;

	if (put_batch(writer, err) < 0 || begin(writer, KIND_END, err) < 0)
		return -1;
	put_number(writer, writer->entries);
	end(writer);
	if (flush(writer, err) < 0)
		return -1;
	crc = htole32(writer->crc);
	memcpy(writer->buffer, &crc, CHECKSUM);
	writer->filled = CHECKSUM;
	return flush(writer, err);
}

/* What is left of a record; `broken` once more was asked for than there is. */
struct body {
	const unsigned char *at, *end;
	bool broken;
};

struct index_reader {
	int fd;
	uint64_t at; /* of the file: behind what is in the buffer */
	uint64_t disk_blocks;
	uint32_t crc; /* of all records that were taken, and the header */
	size_t taken, filled;
	uint64_t entries;
	struct index_entry entry;
	bool has_entry;
	/* Extents of the entry: of the record that is open, and of those before */
	struct body extents;
	uint64_t extents_left, extent_count, next_logical;
	struct blocks_extent extent;
	unsigned char record[INDEX_RECORD]; /* the entry's */
	unsigned char buffer[BUFFER];
};

static int fail_damaged(struct annex_error **err, const char *what)
{
	char text[128];

	snprintf(text, sizeof(text), "the layer's index is damaged: %s", what);
	return fail_relayed(err, ANNEX_ERROR_CORRUPT, ROOTFS_DAMAGED, text, NULL);
}

/* Have so many bytes in the buffer; fewer only at the end of the file. */
static int load(struct index_reader *reader, size_t size, struct annex_error **err)
{
	if (reader->filled - reader->taken >= size)
		return 0;
	memmove(reader->buffer, reader->buffer + reader->taken, reader->filled - reader->taken);
	reader->filled -= reader->taken;
	reader->taken = 0;
	while (reader->filled < size) {
		ssize_t n =
			pread(reader->fd, reader->buffer + reader->filled, BUFFER - reader->filled, (off_t)reader->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_os(err, errno, "cannot read the layer's index");
		if (n == 0)
			break;
		reader->at += (size_t)n;
		reader->filled += (size_t)n;
	}
	return 0;
}

/* These bytes are done with. */
static void take(struct index_reader *reader, size_t size)
{
	reader->crc = (uint32_t)crc32(reader->crc, reader->buffer + reader->taken, (uInt)size);
	reader->taken += size;
}

/* The next record, in the buffer; it is not taken yet. */
static int peek(struct index_reader *reader, struct body *ret, struct annex_error **err)
{
	const unsigned char *at;
	size_t size;

	if (load(reader, FRAME, err) < 0)
		return -1;
	at = reader->buffer + reader->taken;
	if (reader->filled - reader->taken < FRAME)
		return fail_damaged(err, "it has no end");
	size = at[0] | (size_t)at[1] << 8;
	if (size == 0 || size > INDEX_RECORD)
		return fail_damaged(err, "a record has an impossible size");
	if (load(reader, FRAME + size, err) < 0)
		return -1;
	if (reader->filled - reader->taken < FRAME + size)
		return fail_damaged(err, "it has no end");
	at = reader->buffer + reader->taken + FRAME;
	*ret = (struct body){.at = at, .end = at + size};
	return 0;
}

static uint64_t get_number(struct body *body)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64 && body->at < body->end; shift += 7) {
		unsigned char byte = *body->at++;

		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	body->broken = true;
	return 0;
}

static uint32_t get_u32(struct body *body)
{
	uint64_t value = get_number(body);

	body->broken |= value > UINT32_MAX;
	return (uint32_t)value;
}

static const char *get_bytes(struct body *body, uint32_t *ret_size)
{
	uint64_t size = get_number(body);
	const char *bytes = (const char *)body->at;

	*ret_size = 0;
	if (size > (uint64_t)(body->end - body->at)) {
		body->broken = true;
		return "";
	}
	body->at += size;
	*ret_size = (uint32_t)size;
	return bytes;
}

static const char *get_text(struct body *body)
{
	uint32_t size = 0;
	const char *text = get_bytes(body, &size);

	if (body->at == body->end || *body->at++ != '\0' || memchr(text, '\0', size) || size >= ROOTFS_PATH) {
		body->broken = true;
		return "";
	}
	return text;
}

int index_reader_new(struct index_reader **ret, int fd, const char *diff_id, uint64_t disk_blocks,
		     struct annex_error **err)
{
	auto_index_reader struct index_reader *reader = calloc(1, sizeof(*reader));
	const char *header;

	if (!reader)
		return fail_memory(err);
	reader->fd = fd;
	reader->disk_blocks = disk_blocks;
	header = (const char *)reader->buffer;
	if (load(reader, HEADER_SIZE, err) < 0)
		return -1;
	if (reader->filled < HEADER_SIZE || memcmp(header, magic, MAGIC_SIZE) != 0 || header[MAGIC_SIZE] != VERSION ||
	    header[HEADER_SIZE - 1] != '\0')
		return fail_damaged(err, "it is none, or one of another version");
	if (strcmp(header + MAGIC_SIZE + 1, diff_id) != 0)
		return fail_damaged(err, "it is another layer's");
	take(reader, HEADER_SIZE);
	*ret = TAKE(reader);
	return 0;
}

void index_reader_free(struct index_reader *reader)
{
	free(reader);
}

static bool is_clean(const char *path)
{
	const char *next;

	for (; path; path = next) {
		size_t length = strcspn(path, "/");

		if (length == 0 || length > ROOTFS_NAME ||
		    (path[0] == '.' && (length == 1 || (length == 2 && path[1] == '.'))))
			return false;
		next = path[length] ? path + length + 1 : NULL;
	}
	return true;
}

static bool is_node(const struct index_entry *entry)
{
	if (entry->uid == UINT32_MAX || entry->gid == UINT32_MAX || entry->mode > (S_IFMT | 07777) ||
	    entry->size > ROOTFS_FILE || (entry->size && !S_ISREG(entry->mode)))
		return false;
	switch (entry->mode & S_IFMT) {
	case S_IFDIR:
		return true;
	case S_IFLNK:
		return *entry->path && *entry->target;
	case S_IFREG:
	case S_IFIFO:
		return *entry->path;
	case S_IFCHR:
	case S_IFBLK:
		return *entry->path && entry->major < 1u << 12 && entry->minor < 1u << 20;
	default:
		return false;
	}
}

static bool is_sound(const struct index_entry *entry)
{
	if ((*entry->path && !is_clean(entry->path)) || entry->mtime_ns >= 1000000000 ||
	    !attribute_are_valid(entry->attributes, entry->attributes_size))
		return false;
	switch (entry->kind) {
	case INDEX_NODE:
		return is_node(entry);
	case INDEX_LINK:
		return *entry->path && is_clean(entry->target);
	case INDEX_WHITEOUT:
		return *entry->path;
	case INDEX_OPAQUE:
		return true;
	}
	return false;
}

static int parse_entry(struct index_reader *reader, const struct body *record, struct annex_error **err)
{
	size_t size = (size_t)(record->end - record->at);
	struct body body = {.at = reader->record + 1, .end = reader->record + size};
	struct index_entry *entry = &reader->entry;
	uint64_t mtime;

	memcpy(reader->record, record->at, size);
	*entry = (struct index_entry){.kind = (enum index_kind)reader->record[0]};
	entry->mode = get_u32(&body);
	entry->uid = get_u32(&body);
	entry->gid = get_u32(&body);
	entry->major = get_u32(&body);
	entry->minor = get_u32(&body);
	mtime = get_number(&body);
	entry->mtime = (int64_t)(mtime >> 1 ^ (mtime & 1 ? UINT64_MAX : 0));
	entry->mtime_ns = get_u32(&body);
	entry->size = get_number(&body);
	entry->path = get_text(&body);
	entry->target = get_text(&body);
	entry->attributes = get_bytes(&body, &entry->attributes_size);
	if (body.broken || body.at != body.end || !is_sound(entry))
		return fail_damaged(err, "an entry is impossible");
	if (++reader->entries > ROOTFS_ENTRIES)
		return fail_damaged(err, "it has too many entries");
	reader->has_entry = true;
	reader->extents = (struct body){0};
	reader->extents_left = reader->extent_count = reader->next_logical = 0;
	return 0;
}

static int check_end(struct index_reader *reader, struct body *record, struct annex_error **err)
{
	uint64_t entries;
	uint32_t crc;

	record->at++;
	entries = get_number(record);
	if (record->broken || record->at != record->end || entries != reader->entries)
		return fail_damaged(err, "entries are missing");
	take(reader, (size_t)(record->end - reader->buffer) - reader->taken);
	if (load(reader, CHECKSUM + 1, err) < 0)
		return -1;
	if (reader->filled - reader->taken != CHECKSUM)
		return fail_damaged(err, "its end is not where it should be");
	memcpy(&crc, reader->buffer + reader->taken, CHECKSUM);
	return le32toh(crc) == reader->crc ? 0 : fail_damaged(err, "wrong checksum");
}

int index_next(const struct index_entry **ret, struct index_reader *reader, struct annex_error **err)
{
	const struct blocks_extent *extent;
	struct body record;

	do {
		if (index_next_extent(&extent, reader, err) < 0)
			return -1;
	} while (extent);
	if (peek(reader, &record, err) < 0)
		return -1;
	if (*record.at == KIND_END) {
		if (check_end(reader, &record, err) < 0)
			return -1;
		*ret = NULL;
		return 0;
	}
	if (parse_entry(reader, &record, err) < 0)
		return -1;
	take(reader, FRAME + (size_t)(record.end - record.at));
	*ret = &reader->entry;
	return 0;
}

/* Open the next record if it has extents of this entry; none are left else. */
static int open_extents(struct index_reader *reader, struct annex_error **err)
{
	struct body record;

	if (reader->extents.at != reader->extents.end)
		return fail_damaged(err, "a record is too long");
	if (peek(reader, &record, err) < 0)
		return -1;
	if (*record.at != KIND_EXTENTS)
		return 0;
	if (!reader->has_entry || reader->entry.kind != INDEX_NODE || !S_ISREG(reader->entry.mode))
		return fail_damaged(err, "contents of what has none");
	take(reader, FRAME + (size_t)(record.end - record.at));
	record.at++;
	reader->extents_left = get_number(&record);
	if (reader->extents_left == 0 || reader->extents_left > BATCH)
		return fail_damaged(err, "an impossible number of extents");
	reader->extents = record;
	return 0;
}

int index_next_extent(const struct blocks_extent **ret, struct index_reader *reader, struct annex_error **err)
{
	struct blocks_extent *extent = &reader->extent;

	if (reader->extents_left == 0 && open_extents(reader, err) < 0)
		return -1;
	if (reader->extents_left == 0) {
		*ret = NULL;
		return 0;
	}
	reader->extents_left--;
	extent->logical = get_u32(&reader->extents);
	extent->physical = get_number(&reader->extents);
	extent->count = get_u32(&reader->extents);
	if (reader->extents.broken || ++reader->extent_count > INDEX_EXTENTS ||
	    extent->logical < reader->next_logical || !blocks_are_for_data(extent->physical, extent->count) ||
	    extent->physical + extent->count > reader->disk_blocks)
		return fail_damaged(err, "an extent is impossible");
	reader->next_logical = (uint64_t)extent->logical + extent->count;
	if (reader->next_logical > (reader->entry.size + BLOCKS_SIZE - 1) / BLOCKS_SIZE)
		return fail_damaged(err, "an extent lies behind the file's end");
	*ret = extent;
	return 0;
}
