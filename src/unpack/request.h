#pragma once
#include "rootfs/rootfs.h"

#include <stddef.h>

/* What annex-unpack is asked to build: one JSON document. Descriptors are its own numbers. Pure. */
#define REQUEST_LAYERS 1024u      /* layers of one disk */
#define REQUEST_LIMIT  (1u << 20) /* bytes of a document */

/* The descriptors that annex-unpack is started with; standard error is heard, too. */
enum request_fd {
	REQUEST_CONTROL_FD = 0, /* ends with the parent; carries nothing */
	REQUEST_REPORT_FD = 3,  /* takes lines (unpack/report.h) */
	REQUEST_FD = 4,         /* the document, in a file */
	REQUEST_DISK_FD = 5,
	REQUEST_FIRST_FD = 6, /* those of layers follow, at most REQUEST_LAYER_FDS each */
	REQUEST_LAYER_FDS = 4
};

struct request {
	struct rootfs_layer *layers; /* those without a donor or blob have -1 there */
	size_t count;
	struct request_texts *texts; /* what the layers point to */
};
void request_clear(struct request *request);
#define auto_request CLEANUP(request_clear)

/* The caller frees it. NULL: out of memory. */
char *request_encode(const struct rootfs_layer *layers, size_t count);
/* CORRUPT. *ret needs request_clear() only on success. */
MUST_USE int request_decode(struct request *ret, const char *bytes, size_t size, struct annex_error **err);
