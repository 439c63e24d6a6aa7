#include "cli/redraw.h"

#include "base/cleanup.h"
#include "cli/printable.h"

#include <string.h>

void redraw_add_return(struct text *out, const char *drawn, size_t columns)
{
	size_t up = 0, length;

	for (const char *at = drawn; at[length = strcspn(at, "\n")]; at += length + 1) {
		auto_free char *line = strndup(at, length);
		size_t width = line ? printable_width(line) : 0;

		up += width > columns ? (width + columns - 1) / columns : 1;
	}
	text_add_char(out, '\r');
	if (up)
		text_printf(out, "\033[%zuA", up);
}

void redraw_add_lines(struct text *out, const char *lines)
{
	while (*lines) {
		size_t length = strcspn(lines, "\n");

		text_add_bytes(out, lines, length);
		text_add(out, lines[length] ? "\033[K\n" : "\033[J\r");
		lines += length + (lines[length] == '\n');
	}
}
