#include "cli/printable.h"

#include <string.h>
#include <wchar.h>

/* The character at the start of a text, and its bytes; 0: it is not UTF-8. */
static size_t decode(uint32_t *ret, const char *at)
{
	unsigned char lead = (unsigned char)*at;
	size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);

	if (strnlen(at, length) < length || !text_is_utf8(at, length))
		return 0;
	for (size_t i = 1; i < length; i++)
		code = code << 6 | ((unsigned char)at[i] & 0x3fu);
	*ret = code;
	return length;
}

static bool is_control(uint32_t code)
{
	return code < ' ' || (code >= 0x7f && code <= 0x9f) || (code >= 0x200e && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

void printable_add(struct text *text, const char *from)
{
	uint32_t code;
	size_t length;

	for (; *from; from += length ? length : 1) {
		length = decode(&code, from);
		if (!length || is_control(code))
			text_add_char(text, '?');
		else
			text_add_bytes(text, from, length);
	}
}

void printable_add_json(struct text *text, const char *from)
{
	uint32_t code;
	size_t length;

	for (; *from; from += length ? length : 1) {
		length = decode(&code, from);
		if (length && code >= 0x7f && is_control(code))
			text_printf(text, "\\u%04x", (unsigned)code);
		else
			text_add_bytes(text, from, length ? length : 1);
	}
}

/* The columns of the character at the start, *ret_length getting its bytes. What the locale does not know takes one. */
static size_t width_at(size_t *ret_length, const char *at)
{
	uint32_t code = 0;
	size_t length = decode(&code, at);
	int width = length > 1 ? wcwidth((wchar_t)code) : 1;

	*ret_length = length ? length : 1;
	return width < 0 ? 1 : (size_t)width;
}

size_t printable_width(const char *text)
{
	size_t width = 0, length;

	for (; *text; text += length)
		width += width_at(&length, text);
	return width;
}

size_t printable_cut(const char *text, size_t columns)
{
	size_t at = 0, width = 0, length;

	for (; text[at]; at += length) {
		width += width_at(&length, text + at);
		if (width > columns)
			break;
	}
	return at;
}
