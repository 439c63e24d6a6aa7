#pragma once
#include "annex/progress.h"

#include "base/error.h"
#include "cli/option.h"

/* Shows on standard error what long operations do: animated lines on a terminal, else one line per step. */
struct progress;

/* The clock, and the terminal on standard error: tests bring their own. */
struct progress_place {
	uint64_t (*now_ms)(void);
	void (*size)(unsigned *ret_rows, unsigned *ret_columns);
	bool (*is_ours)(void);     /* may be drawn on: no other program has it in the foreground */
	unsigned (*resumed)(void); /* how many times we were stopped and went on */
};

/* place NULL: where we are. */
MUST_USE int progress_new(struct progress **ret, const struct progress_place *place, struct annex_error **err);
void progress_free(struct progress *progress); /* takes what is animated away */
static inline void cleanup_progress(struct progress **progress)
{
	progress_free(*progress);
}
#define auto_progress CLEANUP(cleanup_progress)

/* "auto", "none", "plain", "ansi", "json"; NULL: auto. */
void progress_set_mode(struct progress *progress, const char *mode);
/* An annex_progress_fn; data is the struct progress. */
void progress_report(const struct annex_progress *step, void *data);
/* Take the animated lines away, so that something else can be printed; the next report draws it again. */
void progress_clear(struct progress *progress);

/* The row of commands that take long; `structure` has a `const char *progress`. */
#define PROGRESS_ROW(structure)                                                                           \
	{                                                                                                 \
		OPTION_CHOICE, 0, "progress", offsetof(structure, progress), "auto|none|plain|ansi|json", \
			"how to show what is going on (default auto)", COMPLETES_NOTHING                  \
	}
