#pragma once
#include "base/error.h"

#include <stdbool.h>

/*
 * A folder or file of the host in a machine: "HOST:GUEST[:OPTION[,OPTION…]]", both absolute paths. The last ":/" is
 * where GUEST begins, so HOST may have colons and GUEST can't. Options: ro, rw (the default), cache=auto|none|always.
 * Pure.
 */
#define VOLUME_TEXT_LIMIT (2 * 4096 + 64) /* bytes: two paths and options */

struct volume {
	char *host, *guest; /* without "//", "/./" and a slash at the end */
	bool read_only;
	char *cache; /* "auto", "none", "always" */
};

/* USAGE with a hint that shows the right form. ".." is refused in either path, in GUEST also the places where the
 * machine has something of its own. */
MUST_USE int volume_parse(struct volume *ret, const char *text, struct annex_error **err);
/* Where in a text GUEST begins; NULL: it has none that is absolute. */
const char *volume_find_guest(const char *text);
/* The one spelling of it: HOST:GUEST[:ro][,cache=none]; NULL: out of memory. The caller frees it. */
char *volume_text(const struct volume *volume);
/* Orders texts as volume_text() gives them by GUEST; 0: the same. */
int volume_compare(const char *a, const char *b);
void volume_clear(struct volume *volume);
#define auto_volume CLEANUP(volume_clear)

/* The checks of GUEST, for any place in a machine where something is to appear. The caller frees *ret. */
MUST_USE int volume_guest(char **ret, const char *path, struct annex_error **err);
