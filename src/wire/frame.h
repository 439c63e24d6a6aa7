#pragma once
#include <stddef.h>
#include <stdint.h>

/*
 * A frame is: u32 length of what follows, u16 kind, u16 stream, payload; all integers little-endian. No frame is longer
 * than FRAME_MAX. A message that is longer goes in several frames of the same kind and stream, one right behind the
 * other, all but the last with FRAME_MORE set in their kind.
 */
#define FRAME_HEADER      8u
#define FRAME_MAX         (64u << 10)
#define FRAME_PAYLOAD_MAX (FRAME_MAX - FRAME_HEADER)
#define FRAME_MORE        0x8000u

struct frame {
	uint16_t kind; /* without FRAME_MORE */
	uint16_t stream;
	int more;
	const uint8_t *payload;
	size_t size;
};

enum frame_result {
	FRAME_READY,
	FRAME_NEED_MORE,
	FRAME_BROKEN, /* the peer broke the protocol: drop the link */
};

void frame_put_header(uint8_t out[FRAME_HEADER], uint16_t kind, uint16_t stream, size_t size);

/* Look for one frame at the start of `in`; on FRAME_READY, *used bytes belong to it. */
enum frame_result frame_parse(struct frame *ret, const uint8_t *in, size_t size, size_t *used);
