#pragma once
#include "cli/option.h"

/* What somebody may have meant: the nearest spelling within a few slips, or NULL. */

/* Slips (insert, drop, replace, swap two neighbours) between two words; words past CLOSEST_MAX bytes are far apart. */
#define CLOSEST_MAX 32
unsigned closest_distance(const char *a, const char *b);
/* Is `distance` near enough for a word as long as this one? */
bool closest_is_near(const char *word, unsigned distance);
/* The name of the option nearest to `name`. */
const char *closest_option(const struct option *rows, const char *name);
