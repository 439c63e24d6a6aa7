#include "rootfs/inflate.h"

#include <string.h>
#include <zstd.h>

enum {
	WINDOW_LOG = 27 /* a frame may ask for 128 MiB of memory */
};

struct inflate {
	ZSTD_DCtx *context;
	bool between; /* frames */
};

static void zstd_free(struct inflate *inflate)
{
	if (!inflate)
		return;
	ZSTD_freeDCtx(inflate->context);
	free(inflate);
}

static struct inflate *zstd_make(void)
{
	struct inflate *inflate = calloc(1, sizeof(*inflate));

	if (!inflate)
		return NULL;
	inflate->context = ZSTD_createDCtx();
	if (!inflate->context ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(inflate->context, ZSTD_d_windowLogMax, WINDOW_LOG))) {
		zstd_free(inflate);
		return NULL;
	}
	return inflate;
}

static bool zstd_run(struct inflate *inflate, struct inflate_buffers *buffers)
{
	ZSTD_inBuffer in = {buffers->in, buffers->in_size, 0};
	ZSTD_outBuffer out = {buffers->out, buffers->out_size, 0};
	size_t result = 1, before;

	do {
		before = in.pos + out.pos;
		result = ZSTD_decompressStream(inflate->context, &out, &in);
		if (ZSTD_isError(result))
			return false;
		if (in.pos + out.pos != before)
			inflate->between = result == 0;
	} while (in.pos + out.pos != before && in.pos < in.size && out.pos < out.size);
	*buffers = (struct inflate_buffers){buffers->in + in.pos, buffers->in_size - in.pos, buffers->out + out.pos,
					    buffers->out_size - out.pos};
	return true;
}

static bool zstd_is_complete(const struct inflate *inflate)
{
	return inflate->between;
}

const struct inflate_kind inflate_zstd = {"zstd", zstd_make, zstd_run, zstd_is_complete, zstd_free};

static struct inflate *plain_make(void)
{
	return calloc(1, sizeof(struct inflate));
}

static bool plain_run(struct inflate *inflate, struct inflate_buffers *buffers)
{
	size_t size = buffers->in_size < buffers->out_size ? buffers->in_size : buffers->out_size;

	(void)inflate;
	memcpy(buffers->out, buffers->in, size);
	*buffers = (struct inflate_buffers){buffers->in + size, buffers->in_size - size, buffers->out + size,
					    buffers->out_size - size};
	return true;
}

static bool plain_is_complete(const struct inflate *inflate)
{
	(void)inflate;
	return true;
}

static void plain_free(struct inflate *inflate)
{
	free(inflate);
}

const struct inflate_kind inflate_plain = {"plain", plain_make, plain_run, plain_is_complete, plain_free};
