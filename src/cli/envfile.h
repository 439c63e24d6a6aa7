#pragma once
#include "base/text.h"

/* Env files as Docker has them: a line is KEY=VALUE (the value verbatim, quotes included), or KEY alone, which takes
 * the value from our own environment and is skipped when there is none. Empty lines and lines that start with # are
 * skipped, as are blanks before a key. */
#define ENVFILE_MAX_SIZE      (1u << 20)
#define ENVFILE_MAX_VARIABLES 4096u

/* Appends "KEY=VALUE" texts. `lookup` answers for KEY alone, like getenv(). USAGE errors name `name` and the line. */
MUST_USE int envfile_parse(struct text_list *ret, const char *name, const char *bytes, size_t size,
			   char *(*lookup)(const char *key), struct annex_error **err);
MUST_USE int envfile_read(struct text_list *ret, const char *path, struct annex_error **err);
