#include "guest/entry.h"

#include <string.h>

static void cut(struct entry *entry)
{
	const char *at = entry->at, *end = entry->at + entry->size;

	entry->count = 0;
	while (entry->count < ENTRY_FIELDS_MAX) {
		const char *colon = memchr(at, ':', (size_t)(end - at));
		const char *stop = colon ? colon : end;

		entry->fields[entry->count++] = (struct entry_field){at, (size_t)(stop - at)};
		if (!colon)
			return;
		at = colon + 1;
	}
}

bool entry_next(struct entry *entry, const struct text *text)
{
	const char *end = text->data + text->size, *newline;

	entry->at = entry->next ? entry->next : text->data;
	if (text->size == 0 || entry->at == end)
		return false;
	newline = memchr(entry->at, '\n', (size_t)(end - entry->at));
	entry->size = (size_t)((newline ? newline : end) - entry->at);
	entry->next = newline ? newline + 1 : end;
	cut(entry);
	return true;
}

static bool is(struct entry_field field, const char *value)
{
	return field.size == strlen(value) && memcmp(field.at, value, field.size) == 0;
}

bool entry_is(const struct entry *entry, size_t field, const char *value)
{
	return field < entry->count && is(entry->fields[field], value);
}

bool entry_number(uint32_t *ret, const struct entry *entry, size_t field)
{
	char digits[16];

	if (field >= entry->count || entry->fields[field].size >= sizeof(digits))
		return false;
	memcpy(digits, entry->fields[field].at, entry->fields[field].size);
	digits[entry->fields[field].size] = '\0';
	return strlen(digits) == entry->fields[field].size && text_to_u32(ret, digits, 10) == 0;
}

char *entry_copy(const struct entry *entry, size_t field)
{
	return field < entry->count ? strndup(entry->fields[field].at, entry->fields[field].size) : strdup("");
}

bool entry_lists(const struct entry *entry, size_t field, const char *name)
{
	const char *at, *end;

	if (field >= entry->count)
		return false;
	at = entry->fields[field].at;
	end = at + entry->fields[field].size;
	for (;;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma ? comma : end;

		if (is((struct entry_field){at, (size_t)(stop - at)}, name))
			return true;
		if (!comma)
			return false;
		at = comma + 1;
	}
}
