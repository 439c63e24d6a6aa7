#pragma once
#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A string that grows. Zero-initialise it; `data` is NULL or NUL-terminated. Running out of memory is remembered in
 * `broken`, so a chain of appends needs one check, by text_take() or text_ok(). */
struct text {
	char *data;
	size_t size; /* without the NUL */
	size_t capacity;
	bool broken;
};

void text_add(struct text *text, const char *string);
void text_add_bytes(struct text *text, const void *bytes, size_t size);
void text_add_char(struct text *text, char c);
void text_printf(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);
/* Of what a stranger said: as much as is valid UTF-8 and has room in `limit` bytes; question marks for the rest, and
 * for control characters. */
void text_add_clean(struct text *text, const char *from, size_t limit);
/* That alone; the caller's, or NULL when memory ran out. */
char *text_clean(const char *from, size_t limit);
/* The caller's string ("" when nothing was added), or NULL when memory ran out. */
char *text_take(struct text *text);
bool text_ok(const struct text *text);
void text_clear(struct text *text);
#define auto_text CLEANUP(text_clear)

/* A list of strings, NULL-terminated at `items[count]` once anything was added. */
struct text_list {
	char **items;
	size_t count;
	size_t capacity;
};
MUST_USE int text_list_add(struct text_list *list, const char *string); /* copies; -ENOMEM */
MUST_USE int text_list_add_owned(struct text_list *list, char *string); /* takes, even on failure; NULL: -ENOMEM */
MUST_USE int text_list_printf(struct text_list *list, const char *format, ...) PRINTF_LIKE(2, 3);
void text_list_clear(struct text_list *list);
#define auto_text_list CLEANUP(text_list_clear)

/* NULL stays NULL. -ENOMEM. */
MUST_USE int text_copy(char **ret, const char *text);
/* Overwrites a secret before it is freed; it is NULL then. */
void text_wipe(char **secret);
#define auto_secret CLEANUP(text_wipe)

bool text_equal(const char *a, const char *b); /* NULLs are equal to each other only */
bool text_starts(const char *text, const char *prefix);
bool text_ends(const char *text, const char *suffix);
bool text_is_utf8(const char *bytes, size_t size);

/* Whole-string numbers: no spaces, no sign for unsigned; -EINVAL or -ERANGE. */
MUST_USE int text_to_u64(uint64_t *ret, const char *text, int base);
MUST_USE int text_to_u32(uint32_t *ret, const char *text, int base);
MUST_USE int text_to_i64(int64_t *ret, const char *text);
/* Binary units k m g t in either case, optional b or ib; a bare number is bytes; "1.5g" is allowed. */
MUST_USE int text_to_size(uint64_t *ret, const char *text);
/* "true", "on", "yes", "1" and their opposites. */
MUST_USE int text_to_bool(bool *ret, const char *text);
/* "1.5 GiB"; buffer of at least 16 bytes. Returns buffer. */
#define TEXT_SIZE_BUFFER 16
const char *text_from_size(char buffer[TEXT_SIZE_BUFFER], uint64_t bytes);
