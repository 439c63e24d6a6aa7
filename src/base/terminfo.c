/*
 * An entry: a header of six little-endian shorts (magic, then the sizes of what follows), the terminal's names with
 * bars between them, flags, numbers at an even place, offsets into a table of strings, and that table. Behind it, at an
 * even place again, there may be the same once more for capabilities by name.
 */
#include "base/terminfo.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum { HEADER = 12, EXTENDED_HEADER = 10, MAGIC = 0432, MAGIC_WIDE_NUMBERS = 01036, NAMES_MAX = 512 };

bool terminfo_is_name(const char *name)
{
	size_t length = strlen(name);

	if (length > TERMINFO_NAME_MAX || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr("+-._", name[i]))
			return false;
	}
	return true;
}

static size_t get(const uint8_t *at)
{
	return (size_t)(at[0] | at[1] << 8);
}

static bool has_name(const char *names, const char *name)
{
	size_t length = strlen(name);

	for (;;) {
		size_t next = strcspn(names, "|");

		if (next == length && memcmp(names, name, length) == 0)
			return true;
		if (!names[next])
			return false;
		names += next + 1;
	}
}

static size_t even(size_t size)
{
	return size + (size & 1);
}

/* The part by name: numbers of flags, numbers, strings; how many strings its table has, and that table's size. */
static bool is_extension(const uint8_t *at, size_t size, size_t number)
{
	size_t flags, numbers, strings;

	if (size < EXTENDED_HEADER)
		return false;
	flags = get(at);
	numbers = get(at + 2);
	strings = get(at + 4);
	/* Behind the values come the names of all; each has an offset too. */
	return EXTENDED_HEADER + even(flags) + numbers * number + 2 * (strings + flags + numbers + strings) +
		       get(at + 8) <=
	       size;
}

bool terminfo_is_entry(const void *bytes, size_t size, const char *name)
{
	const uint8_t *at = bytes;
	size_t names, flags, numbers, strings, table, number, total;

	if (size < HEADER || size > TERMINFO_ENTRY_MAX || (get(at) != MAGIC && get(at) != MAGIC_WIDE_NUMBERS))
		return false;
	number = get(at) == MAGIC ? 2 : 4;
	names = get(at + 2);
	flags = get(at + 4);
	numbers = get(at + 6);
	strings = get(at + 8);
	table = get(at + 10);
	total = even(HEADER + names + flags) + numbers * number + strings * 2 + table;
	if (total > size || names < 2 || names > NAMES_MAX ||
	    memchr(at + HEADER, '\0', names) != at + HEADER + names - 1)
		return false;
	if (!has_name((const char *)at + HEADER, name))
		return false;
	return even(total) >= size || is_extension(at + even(total), size - even(total), number);
}
