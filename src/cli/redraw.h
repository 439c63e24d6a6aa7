#pragma once
#include "base/text.h"

/* Lines on a terminal that are drawn over and over in the same place. Between two times the cursor is at the start of
 * the last line. */

/* From there to the start of the first line of what was drawn, on a terminal that now has so many columns. */
void redraw_add_return(struct text *out, const char *drawn, size_t columns);
/* Lines, separated by newlines, in place of whatever was there and below. */
void redraw_add_lines(struct text *out, const char *lines);
