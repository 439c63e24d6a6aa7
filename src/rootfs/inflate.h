#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A decompressor of streams: members or frames that follow each other are one stream. */
struct inflate_buffers {
	unsigned char *in; /* is only read */
	size_t in_size;    /* both are moved on by what was taken */
	unsigned char *out;
	size_t out_size; /* both are moved on by what was made */
};

struct inflate;
struct inflate_kind {
	const char *name;
	struct inflate *(*make)(void); /* NULL: no memory */
	/* Goes on until the input or the room is used up; false: the data are damaged. */
	bool (*run)(struct inflate *inflate, struct inflate_buffers *buffers);
	/* May the input end here? */
	bool (*is_complete)(const struct inflate *inflate);
	void (*free)(struct inflate *inflate);
};

extern const struct inflate_kind inflate_gzip, inflate_zstd, inflate_plain;
