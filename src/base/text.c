#include "base/text.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool reserve(struct text *text, size_t more)
{
	size_t capacity = text->capacity ? text->capacity : 64;
	char *grown;

	if (text->broken || more > SIZE_MAX / 4 - text->size) {
		text->broken = true;
		return false;
	}
	while (capacity < text->size + more + 1)
		capacity *= 2;
	if (text->data && capacity == text->capacity)
		return true;
	grown = realloc(text->data, capacity);
	if (!grown) {
		text->broken = true;
		return false;
	}
	text->data = grown;
	text->capacity = capacity;
	return true;
}

void text_add_bytes(struct text *text, const void *bytes, size_t size)
{
	if (!reserve(text, size))
		return;
	if (size)
		memcpy(text->data + text->size, bytes, size);
	text->size += size;
	text->data[text->size] = '\0';
}

void text_add(struct text *text, const char *string)
{
	text_add_bytes(text, string, strlen(string));
}

void text_add_char(struct text *text, char c)
{
	text_add_bytes(text, &c, 1);
}

void text_printf(struct text *text, const char *format, ...)
{
	auto_free char *made = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&made, format, args);
	va_end(args);
	if (length < 0) {
		made = NULL;
		text->broken = true;
		return;
	}
	text_add_bytes(text, made, (size_t)length);
}

bool text_ok(const struct text *text)
{
	return !text->broken;
}

/* C0, DEL and C1: of valid UTF-8. */
static bool is_control(const char *at)
{
	unsigned char first = (unsigned char)at[0];

	return first < ' ' || first == 0x7f || (first == 0xc2 && (unsigned char)at[1] < 0xa0);
}

void text_add_clean(struct text *text, const char *from, size_t limit)
{
	for (size_t used = 0; *from && used < limit;) {
		size_t left = strlen(from), length = 1;

		while (length < 4 && length < left && !text_is_utf8(from, length))
			length++;
		if (!text_is_utf8(from, length))
			length = 1;
		if (!text_is_utf8(from, length) || is_control(from)) {
			text_add_char(text, '?');
			from += length;
			used++;
			continue;
		}
		if (used + length > limit)
			return;
		text_add_bytes(text, from, length);
		from += length;
		used += length;
	}
}

char *text_clean(const char *from, size_t limit)
{
	struct text clean = {0};

	text_add_clean(&clean, from, limit);
	return text_take(&clean);
}

char *text_take(struct text *text)
{
	char *taken;

	if (!text->data)
		text_add_bytes(text, "", 0);
	if (text->broken) {
		text_clear(text);
		return NULL;
	}
	taken = text->data;
	*text = (struct text){0};
	return taken;
}

void text_clear(struct text *text)
{
	free(text->data);
	*text = (struct text){0};
}

int text_list_add_owned(struct text_list *list, char *string)
{
	size_t capacity = list->capacity ? list->capacity * 2 : 8;
	char **grown;

	if (!string)
		return -ENOMEM;
	if (list->count + 1 >= list->capacity) {
		grown = reallocarray(list->items, capacity, sizeof(*grown));
		if (!grown) {
			free(string);
			return -ENOMEM;
		}
		list->items = grown;
		list->capacity = capacity;
	}
	list->items[list->count++] = string;
	list->items[list->count] = NULL;
	return 0;
}

int text_list_add(struct text_list *list, const char *string)
{
	return text_list_add_owned(list, strdup(string));
}

int text_list_printf(struct text_list *list, const char *format, ...)
{
	char *made;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&made, format, args);
	va_end(args);
	return length < 0 ? -ENOMEM : text_list_add_owned(list, made);
}

void text_list_clear(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct text_list){0};
}

int text_copy(char **ret, const char *text)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -ENOMEM : 0;
}

void text_wipe(char **secret)
{
	if (*secret)
		explicit_bzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

bool text_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool text_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *text, const char *suffix)
{
	size_t length = strlen(text), tail = strlen(suffix);

	return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

bool text_is_utf8(const char *bytes, size_t size)
{
	static const uint32_t lowest[] = {0, 0x80, 0x800, 0x10000};
	const unsigned char *p = (const unsigned char *)bytes, *end = p + size;

	while (p < end) {
		unsigned more = *p < 0x80             ? 0
				: (*p & 0xe0) == 0xc0 ? 1
				: (*p & 0xf0) == 0xe0 ? 2
				: (*p & 0xf8) == 0xf0 ? 3
						      : 4;
		uint32_t code = more == 0 ? *p : *p & (0x3fu >> more);

		if (more > 3 || (size_t)(end - p) <= more)
			return false;
		for (unsigned i = 1; i <= more; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return false;
			code = code << 6 | (p[i] & 0x3fu);
		}
		if (code < lowest[more] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return false;
		p += more + 1;
	}
	return true;
}

int text_to_u64(uint64_t *ret, const char *text, int base)
{
	unsigned long long value;
	char *end;

	if (!isxdigit((unsigned char)*text) && *text != '0')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, base);
	if (errno)
		return -errno;
	if (end == text || *end)
		return -EINVAL;
	*ret = value;
	return 0;
}

int text_to_u32(uint32_t *ret, const char *text, int base)
{
	uint64_t value = 0;
	int result = text_to_u64(&value, text, base);

	if (result < 0)
		return result;
	if (value > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)value;
	return 0;
}

int text_to_i64(int64_t *ret, const char *text)
{
	bool negative = *text == '-';
	uint64_t value = 0;
	int result = text_to_u64(&value, text + negative, 10);

	if (result < 0)
		return result;
	if (value > (uint64_t)INT64_MAX)
		return -ERANGE;
	*ret = negative ? -(int64_t)value : (int64_t)value;
	return 0;
}

int text_to_size(uint64_t *ret, const char *text)
{
	static const char units[] = "kmgt";
	const char *unit, *found;
	unsigned shift = 0;
	long double value;
	char *end;

	if (!isdigit((unsigned char)*text) || strspn(text, "0123456789.") == 0)
		return -EINVAL;
	errno = 0;
	unit = text + strspn(text, "0123456789.");
	value = strtold(text, &end);
	if (errno || end != unit)
		return -EINVAL;
	if (*unit) {
		found = strchr(units, tolower((unsigned char)*unit));
		if (found) {
			shift = 10u * (unsigned)(found - units + 1);
			unit++;
		}
		if (*unit && strcasecmp(unit, "b") != 0 && (!shift || strcasecmp(unit, "ib") != 0))
			return -EINVAL;
	}
	value *= (long double)(1ull << shift);
	if (value >= 0x1p63L)
		return -ERANGE;
	*ret = (uint64_t)value;
	return 0;
}

int text_to_bool(bool *ret, const char *text)
{
	static const char *const yes[] = {"true", "on", "yes", "1"}, *const no[] = {"false", "off", "no", "0"};

	for (size_t i = 0; i < COUNT_OF(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*ret = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

const char *text_from_size(char buffer[TEXT_SIZE_BUFFER], uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1023.95 && unit + 1 < COUNT_OF(units)) {
		value /= 1024;
		unit++;
	}
	if (unit == 0 || value >= 99.95 || fabs(value - (double)(uint64_t)value) < 0.05)
		snprintf(buffer, TEXT_SIZE_BUFFER, "%.0f %s", value, units[unit]);
	else
		snprintf(buffer, TEXT_SIZE_BUFFER, "%.1f %s", value, units[unit]);
	return buffer;
}
