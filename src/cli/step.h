#pragma once
#include "annex/progress.h"

#include "cli/meter.h"

#include "base/error.h"

#include <stddef.h>

/* What is known about the step of a long operation that goes on, from its reports. */
#define STEP_ITEMS_MAX 65536u
#define STEP_ID        12 /* digits of an item's digest that are shown */

struct step_item {
	char id[STEP_ID + 1];
	char *text; /* printable; NULL: not begun */
	bool finished;
	uint64_t begin_ms;
	uint64_t done, total;
	uint64_t before; /* done when it was first heard of */
	uint64_t told_ms;
	struct meter meter;
};

struct step {
	bool active;
	char *name;
	char *text; /* printable, never empty */
	uint64_t begin_ms;
	uint64_t done, total; /* bytes */
	uint64_t told_ms;
	uint64_t lines_ms; /* until then it has had its lines */
	bool untold;       /* its text was not shown yet */
	struct meter meter;
	struct step_item *items;
	size_t count; /* of items */
	size_t begun; /* of them */
	size_t ended;
};

enum step_change {
	STEP_SAME = 0,
	STEP_BEGAN = 1, /* the step or the item */
	STEP_TEXT = 2,  /* another text than before, or the first */
	STEP_ENDED = 4,
};

/* Is the report about a step that is not under way? Then the one before has ended: clear it first. */
bool step_is_new(const struct step *step, const struct annex_progress *report);
/* Take a report in. *ret_item: what it is about, NULL for the whole. *ret_change: enum step_change, combined.
 * -ENOMEM, or -EINVAL for an item out of bounds; the report is then ignored. */
MUST_USE int step_update(struct step_item **ret_item, unsigned *ret_change, struct step *step, uint64_t now_ms,
			 const struct annex_progress *report);
/* Bytes that were done since it began. */
uint64_t step_moved(const struct step *step);
void step_clear(struct step *step);
