#pragma once
#include "base/error.h"

#include <stddef.h>

/* What the first bytes say. */
enum decompress_format {
	DECOMPRESS_NONE,
	DECOMPRESS_GZIP,
	DECOMPRESS_XZ,
	DECOMPRESS_LZMA,
	DECOMPRESS_ZSTD,
	DECOMPRESS_LZ4,        /* frames */
	DECOMPRESS_LZ4_LEGACY, /* what kernels use */
	DECOMPRESS_BZIP2,      /* recognised, not supported */
	DECOMPRESS_LZO,        /* recognised, not supported */
};
#define DECOMPRESS_MAGIC_SIZE 9 /* bytes that decompress_format() looks at */

enum decompress_format decompress_format(const void *bytes, size_t size);

/* Decompress one stream that starts at `bytes`; what follows its end is ignored. Past `limit` bytes of output, and when
 * the stream is damaged or cut off, CORRUPT; formats that are only recognised, UNSUPPORTED. The caller frees *ret. */
MUST_USE int decompress_bytes(char **ret, size_t *ret_size, const void *bytes, size_t size, size_t limit,
			      struct annex_error **err);
