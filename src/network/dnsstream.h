#pragma once
#include "loop/loop.h"

/*
 * One connection of the machine to its resolver (RFC 7766): messages with their length before them, several at a time,
 * answered as answers come. The peer may have closed its side: it still gets what it asked for.
 */
struct dnsstream;

struct dnsstream_callbacks {
	/* dnsstream_reply() answers each, from inside it or later, in any order. */
	void (*on_message)(struct dnsstream *stream, const uint8_t *message, size_t size, void *data);
	/* The last one: it is over, for whatever reason; to be freed. Never from inside dnsstream_reply(). */
	void (*on_end)(struct dnsstream *stream, void *data);
};

/* Takes the descriptor on success. -errno. */
MUST_USE int dnsstream_new(struct dnsstream **ret, struct loop *loop, int fd,
			   const struct dnsstream_callbacks *callbacks, void *data);
void dnsstream_free(struct dnsstream *stream);
/* The answer to one message; NULL: there is none. */
void dnsstream_reply(struct dnsstream *stream, const uint8_t *message, size_t size);
