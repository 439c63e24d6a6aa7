#pragma once
#include <stdbool.h>

/* Slips (insert, drop, replace, swap two neighbours) between two words; words past CLOSEST_MAX bytes are far apart. */
#define CLOSEST_MAX 32
unsigned closest_distance(const char *a, const char *b);
/* Is `distance` near enough for a word as long as this one? */
bool closest_is_near(const char *word, unsigned distance);
