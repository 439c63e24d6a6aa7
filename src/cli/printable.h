#pragma once
#include "base/text.h"

/* Texts from elsewhere on a terminal: images, guests and registries are quoted, and nothing of it may control it. */

/* Append it with a question mark for each control character (C0, DEL, C1), each that turns the direction of writing,
 * and each byte that is not UTF-8. */
void printable_add(struct text *text, const char *from);
/* The same of a JSON document, where they are escaped: what it means stays. */
void printable_add_json(struct text *text, const char *from);
/* Columns that a text of printable_add() takes. */
size_t printable_width(const char *text);
/* Bytes of its longest beginning that takes at most so many columns. */
size_t printable_cut(const char *text, size_t columns);
