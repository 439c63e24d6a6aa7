#include "wire/frame.h"

#include <assert.h>

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) | (uint32_t)get16(p + 2) << 16;
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)v);
	put16(p + 2, (uint16_t)(v >> 16));
}

void frame_put_header(uint8_t out[FRAME_HEADER], uint16_t kind, uint16_t stream, size_t size)
{
	assert(size <= FRAME_PAYLOAD_MAX);
	put32(out, (uint32_t)(size + 4));
	put16(out + 4, kind);
	put16(out + 6, stream);
}

enum frame_result frame_parse(struct frame *ret, const uint8_t *in, size_t size, size_t *used)
{
	uint32_t rest;
	uint16_t kind;

	if (size < 4)
		return FRAME_NEED_MORE;
	rest = get32(in);
	if (rest < 4 || rest > FRAME_MAX - 4)
		return FRAME_BROKEN;
	if (size - 4 < rest)
		return FRAME_NEED_MORE;

	kind = get16(in + 4);
	*ret = (struct frame){
		.kind = kind & (uint16_t)~FRAME_MORE,
		.more = (kind & FRAME_MORE) != 0,
		.stream = get16(in + 6),
		.payload = in + FRAME_HEADER,
		.size = rest - 4,
	};
	*used = rest + 4;
	return FRAME_READY;
}
