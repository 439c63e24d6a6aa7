#pragma once
#include "base/text.h"

/*
 * A log in pieces: NAME.1, NAME.2 and so on in a folder, each with bytes as they came. The one with the highest number
 * is written to; when it is full a new one is begun, and the one with the lowest goes. So nothing is ever renamed, and
 * a number means the same bytes for good. A plain NAME, without a number, is the newest: a log of one piece.
 *
 * Beside each, NAME.N.times says of some places in it when they were written and by which stream: "OFFSET MILLISECONDS
 * STREAM" (since 1970), a line each, in the order of their offsets; what lies between two is of the first. A piece
 * without is of unknown times and of stream 1. A place is written down before what it is about.
 */
#define PIECE_TIMES_MAX (4u << 20) /* bytes that are read of such a file */
#define PIECE_PLAIN     0u         /* the number of the one without */

struct piece_list {
	uint64_t *numbers; /* in order, the oldest first */
	size_t count;
};
MUST_USE int piece_list_load(struct piece_list *ret, const char *folder, const char *name); /* -errno */
void piece_list_clear(struct piece_list *list);
#define auto_piece_list CLEANUP(piece_list_clear)

/* NULL: out of memory. The caller frees them. */
char *piece_path(const char *folder, const char *name, uint64_t number);
char *piece_times_path(const char *folder, const char *name, uint64_t number);

struct piece_place {
	uint64_t offset;
	int64_t when_ms;
	unsigned stream; /* 1: standard output; 2: standard error */
};
void piece_place_format(struct text *out, const struct piece_place *place);
/* What is whole and in order of a text of places; what is not is left out. *ret_used: bytes of whole lines. */
struct piece_places {
	struct piece_place *items;
	size_t count;
};
MUST_USE int piece_places_parse(struct piece_places *list, size_t *ret_used, const char *bytes, size_t size);
void piece_places_clear(struct piece_places *list);
