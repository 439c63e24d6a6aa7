#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* What languages a machine's C library can speak. `root`: "", or a folder that stands for the machine's root. */
#define LOCALE_NAME_MAX 64u

/* "de_DE.UTF-8", "ca_ES@valencia", "C". Pure. */
bool locale_is_name(const char *text);
/* As glibc names it in its files: the codeset in lower case, without punctuation. `name` is one. Pure. */
void locale_normalise(char ret[LOCALE_NAME_MAX + 4], const char *name);
/* Whether the machine has it. What is not glibc takes any. */
bool locale_is_there(const char *root, const char *name);
/* "C.UTF-8", or "C" where there isn't even that. */
const char *locale_default(const char *root);
