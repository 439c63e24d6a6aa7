#pragma once
#include "base/text.h"
#include "cli/step.h"

/* What is drawn of a step. */

/* Its lines, none wider than `columns`, at most `rows` of them (but one), with newlines between them. */
void frame_make(struct text *ret, const struct step *step, uint64_t now_ms, size_t rows, size_t columns);
/* What is said of a step, or of its item, that ended: "layer 3 of 5: 47.3 MiB in 2.1 s (22 MiB/s)" */
void frame_add_summary(struct text *line, const struct step *step, const struct step_item *item, uint64_t now_ms);
