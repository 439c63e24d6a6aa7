#pragma once
#include "annex/machine.h"

#include "machine/piece.h"

#include <stdbool.h>

/* Reads a log in pieces (machine/piece.h), from its end backwards to where it is to begin, and on as it grows. */
#define READER_STREAMS 2

struct reader {
	const char *folder;
	const char *name;
	struct annex_log_options options;
	bool apart; /* the streams go to descriptors of their own; else all is of the first */

	int fd; /* of the piece that is read, or -1 */
	uint64_t number;
	uint64_t offset;
	int times_fd;
	struct piece_places places; /* of it */
	uint64_t places_read;       /* bytes of its times */
	size_t place;               /* the one that `offset` is of */
	bool in_line[READER_STREAMS];
	bool begun;  /* `number` was opened */
	bool closed; /* nobody reads what is written */
};

/* Find where to begin. -errno. */
MUST_USE int reader_open(struct reader *reader);
/* Write all that is there. -errno. */
MUST_USE int reader_copy(struct reader *reader);
void reader_close(struct reader *reader);
