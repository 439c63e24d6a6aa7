/*
 * Error objects.
 *
 * An error is made exactly once, where the meaning of the failure is known, and then handed up unchanged
 * apart from prefixes and a hint. Making one can itself run out of memory; the static `no_memory` object
 * stands in for it and is never freed.
 */
#include "base/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct annex_error {
	enum annex_error_kind kind;
	int os;
	char *message;
	char *hint;
	bool fixed; /* not from malloc; the library and a program may each have their own copy of this file */
};

static char no_memory_text[] = "out of memory";
static struct annex_error no_memory = {ANNEX_ERROR_NO_MEMORY, ENOMEM, no_memory_text, NULL, true};

/* What was read from a file or a peer may be quoted in a message, which is one line and goes to terminals: control
 * characters (C1 in UTF-8 included) become question marks. */
static void make_printable(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		if (*at < ' ' || *at == 0x7f) {
			*at = '?';
		} else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) {
			at[0] = at[1] = '?';
		}
	}
}

static struct annex_error *make(enum annex_error_kind kind, int os, char *message)
{
	struct annex_error *made = calloc(1, sizeof(*made));

	if (!made) {
		free(message);
		return &no_memory;
	}
	make_printable(message);
	*made = (struct annex_error){.kind = kind, .os = os, .message = message};
	return made;
}

static int PRINTF_LIKE(4, 0)
	record(struct annex_error **err, enum annex_error_kind kind, int os, const char *format, va_list args)
{
	auto_free char *text = NULL;
	char *joined;

	if (!err)
		return -1;
	*err = &no_memory;
	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
		return -1;
	}
	if (!os)
		*err = make(kind, 0, TAKE(text));
	else if (asprintf(&joined, "%s: %s", text, strerror(os)) >= 0)
		*err = make(kind, os, joined);
	return -1;
}

/* What the macros of the same names call. */
#undef fail
#undef fail_os
#undef fail_memory
#undef fail_while
#undef fail_hint
#undef fail_relayed

int fail(struct annex_error **err, enum annex_error_kind kind, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	record(err, kind, 0, format, args);
	va_end(args);
	return -1;
}

int fail_os(struct annex_error **err, int os, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	record(err, ANNEX_ERROR_SYSTEM, os < 0 ? -os : os, format, args);
	va_end(args);
	return -1;
}

int fail_memory(struct annex_error **err)
{
	if (err)
		*err = &no_memory;
	return -1;
}

int fail_while(struct annex_error **err, const char *format, ...)
{
	auto_free char *prefix = NULL;
	char *joined;
	va_list args;
	int length;

	if (!err || (*err)->fixed)
		return -1;
	va_start(args, format);
	length = vasprintf(&prefix, format, args);
	va_end(args);
	if (length < 0) {
		prefix = NULL;
		return -1;
	}
	if (asprintf(&joined, "%s: %s", prefix, (*err)->message) < 0)
		return -1;
	make_printable(joined);
	free((*err)->message);
	(*err)->message = joined;
	return -1;
}

int fail_hint(struct annex_error **err, const char *format, ...)
{
	va_list args;

	if (!err || (*err)->fixed || (*err)->hint)
		return -1;
	va_start(args, format);
	if (vasprintf(&(*err)->hint, format, args) < 0)
		(*err)->hint = NULL;
	else
		make_printable((*err)->hint);
	va_end(args);
	return -1;
}

int fail_relayed(struct annex_error **err, unsigned kind, int os, const char *message, const char *hint)
{
	char *text;

	if (!err)
		return -1;
	*err = &no_memory;
	if (kind < ANNEX_ERROR_SYSTEM || kind > ANNEX_ERROR_NO_MEMORY)
		kind = ANNEX_ERROR_GUEST;
	text = strdup(message);
	if (!text)
		return -1;
	*err = make((enum annex_error_kind)kind, os, text);
	if (hint && *hint)
		fail_hint(err, "%s", hint);
	return -1;
}

API enum annex_error_kind annex_error_kind(const struct annex_error *err)
{
	return err->kind;
}

API int annex_error_errno(const struct annex_error *err)
{
	return err->os;
}

API const char *annex_error_message(const struct annex_error *err)
{
	return err->message;
}

API const char *annex_error_hint(const struct annex_error *err)
{
	return err->hint;
}

API void annex_error_free(struct annex_error *err)
{
	if (!err || err->fixed)
		return;
	free(err->message);
	free(err->hint);
	free(err);
}
