#pragma once
#include "base/text.h"

/* Paths of a home that a machine doesn't see unless told otherwise: those that hold secrets. */

#define SECRET_DEFAULTS_MAX 150u /* of them; the settings take more than that */

/* Appends all of them, relative to the home. */
MUST_USE int secret_defaults(struct text_list *list, struct annex_error **err);

/* A path as users write it (relative to the home, "~/x", or absolute below it) → relative to the home, without "//",
 * "/./" and a slash at the end. USAGE for what is no path below the home. `homes`, ending with NULL, are its names. The
 * caller frees *ret. */
MUST_USE int secret_parse(char **ret, const char *path, const char *const *homes, struct annex_error **err);
