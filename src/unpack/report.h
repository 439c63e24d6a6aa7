#pragma once
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* What annex-unpack tells: JSON objects, one a line. Whoever listens takes it for a stranger's word. Pure. */
#define REPORT_LIMIT (64u << 10) /* bytes of a line, with its newline */
#define REPORT_TEXT  4096u       /* bytes of an error's message, and of its hint */

enum report_kind { REPORT_PROGRESS, REPORT_LAYER, REPORT_FINISHING, REPORT_RESULT, REPORT_ERROR };

struct report {
	enum report_kind kind;
	uint64_t *done;    /* PROGRESS: of each layer; owned */
	size_t layer;      /* LAYER: which is complete */
	uint64_t size;     /* RESULT: of the disk */
	unsigned error;    /* ERROR: its kind, … */
	int os;            /* … its errno, … */
	char *text, *hint; /* … its message, and its hint or NULL; owned */
};
void report_clear(struct report *report);
#define auto_report CLEANUP(report_clear)

/* The line with its newline; `layers` is the length of `done`. Texts lose what is no UTF-8, and what is too long of
 * them. The caller frees it. NULL: out of memory. */
char *report_encode(const struct report *report, size_t layers);
/* A line without its newline. CORRUPT: not a report about so many layers. *ret needs report_clear() on success. */
MUST_USE int report_decode(struct report *ret, const char *line, size_t size, size_t layers, struct annex_error **err);
