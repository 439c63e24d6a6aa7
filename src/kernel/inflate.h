#pragma once
#include "base/error.h"

#include <stddef.h>

/* What the first bytes say. */
enum inflate_format {
	INFLATE_NONE,
	INFLATE_GZIP,
	INFLATE_XZ,
	INFLATE_LZMA,
	INFLATE_ZSTD,
	INFLATE_LZ4,        /* frames */
	INFLATE_LZ4_LEGACY, /* what kernels use */
	INFLATE_BZIP2,      /* recognised, not supported */
	INFLATE_LZO,        /* recognised, not supported */
};
#define INFLATE_MAGIC_SIZE 9 /* bytes that inflate_format() looks at */

enum inflate_format inflate_format(const void *bytes, size_t size);

/* Decompress one stream that starts at `bytes`; what follows its end is ignored. Past `limit` bytes of output, and when
 * the stream is damaged or cut off, CORRUPT; formats that are only recognised, UNSUPPORTED. The caller frees *ret. */
MUST_USE int inflate_bytes(char **ret, size_t *ret_size, const void *bytes, size_t size, size_t limit,
			   struct annex_error **err);
