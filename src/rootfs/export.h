#pragma once
#include "base/error.h"

#include <stddef.h>

/* Takes the next bytes of a stream; 0 or -errno, which ends it. */
typedef int export_sink_fn(const void *bytes, size_t size, void *data);

/*
 * The tar stream (PAX) of a layer, made anew from its index and the disk that its contents lie on: the same entries in
 * the same order, but not the bytes of the layer that was decoded. The same index always gives the same bytes.
 * Descriptors are borrowed. Blocks. CORRUPT: the index is damaged; SYSTEM: reading failed, or the sink did.
 */
MUST_USE int export_layer(int disk, int index, const char *diff_id, export_sink_fn *sink, void *data,
			  struct annex_error **err);
