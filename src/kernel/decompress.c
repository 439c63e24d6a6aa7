/*
 * Decompression of kernel payloads and modules, from memory to memory.
 *
 * Every decoder writes into a buffer that doubles up to the caller's limit, and stops at the end of the first stream:
 * a kernel's payload is followed by its plain size, a scanned one by whatever comes next in the file. The legacy LZ4
 * format has no end mark: blocks follow each other until one can't be a block.
 */
#define ZLIB_CONST /* its input pointer is to const */
#include "kernel/decompress.h"

#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
	LEGACY_BLOCK = 8 << 20,     /* plain bytes of a legacy LZ4 block, all but the last have just that many */
	FIRST_CAPACITY = 256 << 10, /* of an output buffer */
	LZMA_MEMORY = 512 << 20,    /* xz -9e needs 65 MiB; larger dictionaries are allowed for, not every one */
};

struct output {
	char *data;
	size_t size, capacity, limit;
	bool out_of_memory;
};

/* Is there room for at least one more byte? Out of memory and past the limit both end the decoding. */
static bool output_room(struct output *out, size_t wanted)
{
	size_t capacity = out->capacity ? out->capacity : FIRST_CAPACITY;
	char *grown;

	if (wanted > out->limit - out->size)
		return false;
	while (capacity < out->size + wanted)
		capacity *= 2;
	if (capacity > out->limit)
		capacity = out->limit;
	if (capacity == out->capacity)
		return true;
	grown = realloc(out->data, capacity);
	if (!grown) {
		out->out_of_memory = true;
		return false;
	}
	out->data = grown;
	out->capacity = capacity;
	return true;
}

static bool decode_gzip(struct output *out, const uint8_t *bytes, size_t size)
{
	z_stream stream = {.next_in = bytes};
	const uint8_t *end = bytes + size;
	int result = Z_OK;

	if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) {
		out->out_of_memory = true;
		return false;
	}
	while (result == Z_OK && output_room(out, 1)) {
		size_t room = out->capacity - out->size, left = (size_t)(end - stream.next_in);
		size_t given = room < UINT32_MAX ? room : UINT32_MAX;

		stream.avail_in = (uInt)(left < UINT32_MAX ? left : UINT32_MAX);
		stream.next_out = (uint8_t *)out->data + out->size;
		stream.avail_out = (uInt)given;
		result = inflate(&stream, Z_NO_FLUSH);
		out->size += given - stream.avail_out;
	}
	inflateEnd(&stream);
	return result == Z_STREAM_END;
}

/* Both the xz format and the older lzma one. */
static bool decode_lzma(struct output *out, const uint8_t *bytes, size_t size)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	lzma_ret result = LZMA_OK;

	if (lzma_auto_decoder(&stream, LZMA_MEMORY, 0) != LZMA_OK) {
		out->out_of_memory = true;
		return false;
	}
	stream.next_in = bytes;
	stream.avail_in = size;
	while (result == LZMA_OK && output_room(out, 1)) {
		size_t room = out->capacity - out->size;

		stream.next_out = (uint8_t *)out->data + out->size;
		stream.avail_out = room;
		result = lzma_code(&stream, LZMA_RUN);
		out->size += room - stream.avail_out;
	}
	lzma_end(&stream);
	return result == LZMA_STREAM_END;
}

static bool decode_zstd(struct output *out, const uint8_t *bytes, size_t size)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	ZSTD_inBuffer in = {bytes, size, 0};
	size_t result = 1;

	if (!context) {
		out->out_of_memory = true;
		return false;
	}
	ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 31); /* the output's limit bounds it */
	while (result > 0 && !ZSTD_isError(result) && output_room(out, 1)) {
		ZSTD_outBuffer to = {out->data, out->capacity, out->size};
		size_t before = in.pos;

		result = ZSTD_decompressStream(context, &to, &in);
		if (in.pos == before && to.pos == out->size)
			break; /* cut off */
		out->size = to.pos;
	}
	ZSTD_freeDCtx(context);
	return result == 0;
}

static bool decode_lz4_frame(struct output *out, const uint8_t *bytes, size_t size)
{
	LZ4F_dctx *context = NULL;
	size_t at = 0, result = 1;

	if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) {
		out->out_of_memory = true;
		return false;
	}
	while (result > 0 && !LZ4F_isError(result) && output_room(out, 1)) {
		size_t room = out->capacity - out->size, left = size - at;

		result = LZ4F_decompress(context, out->data + out->size, &room, bytes + at, &left, NULL);
		if (room == 0 && left == 0)
			break; /* cut off */
		out->size += room;
		at += left;
	}
	LZ4F_freeDecompressionContext(context);
	return result == 0;
}

static uint32_t little32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static bool decode_lz4_legacy(struct output *out, const uint8_t *bytes, size_t size)
{
	size_t at = 4, done = LEGACY_BLOCK;

	while (done == LEGACY_BLOCK && size - at >= 4) {
		uint32_t block = little32(bytes + at);
		size_t room;
		int plain;

		if (block == 0 || block > (uint32_t)LZ4_COMPRESSBOUND(LEGACY_BLOCK))
			break; /* no block */
		if (block > size - at - 4)
			return out->size > 0 &&
			       size - at == 4; /* the plain size behind a payload can look like a block's */
		if (!output_room(out, 1))
			return false;
		room = out->limit - out->size < LEGACY_BLOCK ? out->limit - out->size : LEGACY_BLOCK;
		if (!output_room(out, room))
			return false;
		plain = LZ4_decompress_safe((const char *)bytes + at + 4, out->data + out->size, (int)block, (int)room);
		if (plain <= 0)
			return false;
		done = (size_t)plain;
		out->size += done;
		at += 4 + block;
	}
	return out->size > 0;
}

static const struct format {
	const char *name;
	enum decompress_format format;
	size_t magic_size;
	uint8_t magic[DECOMPRESS_MAGIC_SIZE];
	bool (*decode)(struct output *out, const uint8_t *bytes, size_t size); /* NULL: recognised only */
} formats[] = {
	{"gzip", DECOMPRESS_GZIP, 3, {0x1f, 0x8b, 0x08}, decode_gzip},
	{"xz", DECOMPRESS_XZ, 6, {0xfd, '7', 'z', 'X', 'Z', 0}, decode_lzma},
	{"lzma", DECOMPRESS_LZMA, 3, {0x5d, 0, 0}, decode_lzma},
	{"zstd", DECOMPRESS_ZSTD, 4, {0x28, 0xb5, 0x2f, 0xfd}, decode_zstd},
	{"LZ4", DECOMPRESS_LZ4, 4, {0x04, 0x22, 0x4d, 0x18}, decode_lz4_frame},
	{"LZ4", DECOMPRESS_LZ4_LEGACY, 4, {0x02, 0x21, 0x4c, 0x18}, decode_lz4_legacy},
	{"bzip2", DECOMPRESS_BZIP2, 3, {'B', 'Z', 'h'}, NULL},
	{"LZO", DECOMPRESS_LZO, 9, {0x89, 'L', 'Z', 'O', 0, 0x0d, 0x0a, 0x1a, 0x0a}, NULL},
};

static const struct format *find(const void *bytes, size_t size)
{
	for (size_t i = 0; i < COUNT_OF(formats); i++) {
		if (size >= formats[i].magic_size && memcmp(bytes, formats[i].magic, formats[i].magic_size) == 0)
			return &formats[i];
	}
	return NULL;
}

enum decompress_format decompress_format(const void *bytes, size_t size)
{
	const struct format *found = find(bytes, size);

	return found ? found->format : DECOMPRESS_NONE;
}

int decompress_bytes(char **ret, size_t *ret_size, const void *bytes, size_t size, size_t limit,
		     struct annex_error **err)
{
	const struct format *format = find(bytes, size);
	struct output out = {.limit = limit};
	bool done;

	if (!format)
		return fail(err, ANNEX_ERROR_CORRUPT, "not compressed in a known format");
	if (!format->decode)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s compression is not supported", format->name);
	done = format->decode(&out, bytes, size);
	if (done) {
		*ret = out.data;
		*ret_size = out.size;
		return 0;
	}
	free(out.data);
	if (out.out_of_memory)
		return fail_memory(err);
	return fail(err, ANNEX_ERROR_CORRUPT, "%s data is damaged, cut off or larger than allowed", format->name);
}
