#pragma once
#include "base/closest.h"
#include "cli/option.h"

/* What somebody may have meant: the name of the option nearest to `name` within a few slips, or NULL. */
const char *closest_option(const struct option *rows, const char *name);
