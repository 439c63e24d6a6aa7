/* gzip by zlib, where ISA-L is not found. */
#include "rootfs/inflate.h"

#include <zlib.h>

struct inflate {
	z_stream state;
	bool begun; /* within a member */
	bool any;
};

enum { GZIP_ONLY = 15 + 16 };

static struct inflate *gzip_make(void)
{
	struct inflate *self = calloc(1, sizeof(*self));

	if (self && inflateInit2(&self->state, GZIP_ONLY) != Z_OK) {
		free(self);
		return NULL;
	}
	return self;
}

static bool step(struct inflate *self, struct inflate_buffers *buffers)
{
	z_stream *state = &self->state;
	uInt in = buffers->in_size > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)buffers->in_size;
	uInt out = buffers->out_size > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uInt)buffers->out_size;
	int result;

	state->next_in = buffers->in;
	state->avail_in = in;
	state->next_out = buffers->out;
	state->avail_out = out;
	self->begun = self->any = true;
	result = inflate(state, Z_NO_FLUSH);
	if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
		return false;
	in -= state->avail_in;
	out -= state->avail_out;
	*buffers = (struct inflate_buffers){buffers->in + in, buffers->in_size - in, buffers->out + out,
					    buffers->out_size - out};
	if (result == Z_STREAM_END) {
		inflateReset(state);
		self->begun = false;
	}
	return true;
}

static bool gzip_run(struct inflate *self, struct inflate_buffers *buffers)
{
	size_t before;

	do {
		before = buffers->in_size + buffers->out_size;
		if (buffers->in_size == 0 && !self->begun)
			return true;
		if (!step(self, buffers))
			return false;
	} while (buffers->out_size && buffers->in_size + buffers->out_size != before);
	return true;
}

static bool gzip_is_complete(const struct inflate *self)
{
	return self->any && !self->begun;
}

static void gzip_free(struct inflate *self)
{
	if (!self)
		return;
	inflateEnd(&self->state);
	free(self);
}

const struct inflate_kind inflate_gzip = {"gzip", gzip_make, gzip_run, gzip_is_complete, gzip_free};
