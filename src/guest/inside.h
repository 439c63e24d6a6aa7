#pragma once
#include "base/error.h"
#include "base/text.h"

typedef int inside_fn(void *data, struct text *out, struct annex_error **err);

#define INSIDE_OUTPUT_MAX (64u << 10)

/*
 * Run a function in a child process whose root folder is `root`, so that paths in the image, links included, mean what
 * they mean there and never lead out of it. What it adds to `out` comes back in *ret_out (the caller's; may be NULL),
 * and its error in *err. Blocks until it is done: for the boot only.
 */
MUST_USE int inside_run(char **ret_out, const char *root, inside_fn *fn, void *data, struct annex_error **err);
