#pragma once
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lines of fields with colons between them: /etc/passwd and its like. Known by their lengths, so that a text with any
 * bytes in it can be read, and written again as it was. Pure.
 */
enum { ENTRY_FIELDS_MAX = 10 }; /* one more than any of these files has */

struct entry_field {
	const char *at;
	size_t size;
};

struct entry {
	const char *at; /* the line, in the text */
	size_t size;    /* without its newline */
	const char *next;
	struct entry_field fields[ENTRY_FIELDS_MAX];
	size_t count; /* of fields; ENTRY_FIELDS_MAX: that many, or more */
};

/* The line behind this one, or the first one if `entry` is zeroes; false at the end. */
bool entry_next(struct entry *entry, const struct text *text);
bool entry_is(const struct entry *entry, size_t field, const char *value);
bool entry_number(uint32_t *ret, const struct entry *entry, size_t field); /* decimal digits only */
/* A field's text; NULL when memory ran out. The caller frees it. */
char *entry_copy(const struct entry *entry, size_t field);

/* Whether a name is one of those in a field, with commas between them. */
bool entry_lists(const struct entry *entry, size_t field, const char *name);
