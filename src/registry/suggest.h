#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Names for images whose source has none, or has one that is only half a name. */

/* Is `wanted`, as behind the colon of a source, this name: the same text, the same reference, or its tag? NULL names
 * match nothing. */
bool suggest_matches(const char *name, const char *wanted);

/* A normalised reference: `full` or `annotation` if they are whole names, else from the last part of the path, with
 * the tag that annotation or `tag` give. All but the path may be NULL. NULL: memory ran out. The caller frees it. */
char *suggest_name(const char *full, const char *annotation, const char *path, const char *tag);

/* Of a registry's list of tags (JSON) those that are like `wanted`, else some: "12, 12-slim, bookworm". NULL: there are
 * none, or it is no such list. The caller frees it. */
#define SUGGEST_TAGS 5u
char *suggest_tags(const char *bytes, size_t size, const char *wanted);
