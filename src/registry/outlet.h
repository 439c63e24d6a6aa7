#pragma once
#include "registry/http.h"

/*
 * A blob's bytes on their way from transfers, which may break, into its pipe, which may be full: each byte once and in
 * order. `received` counts those that came from the network. They are in the pipe, but for the last ones in `rest`,
 * which it had no room for; while there are such, no more are taken. So another transfer always goes on at `received`.
 */
struct outlet {
	char *digest;
	uint64_t size, received;
	int fd;
	char *rest;
	size_t rest_size, rest_at;
	const char *from; /* who sends, for messages */
	uint64_t skip;    /* bytes to drop, of an answer that begins at the beginning */
	char *etag;       /* of what was begun, or NULL */
	bool whole;       /* the sender knows no ranges */
	bool begun;       /* an answer with the blob came */
	bool is_gone;     /* the pipe's reader is */
};

/* Of transfers, with the outlet as data. Errors: CORRUPT: a wrong size; CANCELLED: nobody reads any more. */
extern const struct http_sink outlet_sink;

/* All of it at once. */
MUST_USE int outlet_embed(struct outlet *outlet, const char *data, struct annex_error **err);
/* Writes what is left over, as far as there is room. */
MUST_USE int outlet_flush(struct outlet *outlet, struct annex_error **err);
void outlet_close(struct outlet *outlet);
void outlet_clear(struct outlet *outlet);
