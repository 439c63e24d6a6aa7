#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A log in pieces (machine/piece.h) that is written. Writing never fails for the caller, and waits for nothing: what
 * a full disk does not take is dropped, and once it takes some again a note says how much is missing.
 */
#define JOURNAL_CONSOLE_PIECE  (4u << 20) /* bytes of a piece of the console's log, with its times */
#define JOURNAL_CONSOLE_PIECES 4u         /* that are kept of it */
#define JOURNAL_STEP_MS        100u /* a time is written down no more often than this, but for a change of stream */

struct journal;

struct journal_options {
	const char *folder;
	const char *name;
	uint64_t piece;  /* bytes, of one piece */
	unsigned pieces; /* that are kept */
	bool keep_open;  /* else it holds no descriptors: of those there may be a thousand */
};

/* Goes on behind what is there. */
MUST_USE int journal_open(struct journal **ret, const struct journal_options *options, struct annex_error **err);
void journal_close(struct journal *journal); /* NULL is allowed */
/* `stream` as in struct piece_place. True: a new piece was begun. */
bool journal_write(struct journal *journal, unsigned stream, const void *bytes, size_t size);

uint64_t journal_size(const struct journal *journal); /* bytes of all pieces */
/* From now on a piece has so many bytes. */
void journal_set_piece(struct journal *journal, uint64_t piece);
/* Remove the oldest piece, unless it is the one that is written. */
bool journal_drop_oldest(struct journal *journal);
