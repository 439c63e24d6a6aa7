#pragma once
#include "base/zone.h"

/* The host's time zone: its name, and the rule that says the same without a data base; either may be empty. */
struct hostzone {
	char name[ZONE_NAME_MAX + 1];
	char rule[ZONE_RULE_MAX + 1];
};

/* What $TZ says; false when that is nothing of use. `root`: "", or a folder that stands for the host's root. */
bool hostzone_of_variable(struct hostzone *ret, const char *root, const char *value);
/* That of the system, or of $TZ (`value`; may be NULL) where there is one. What can't be read or isn't right is as if
 * it weren't there. */
void hostzone_find(struct hostzone *ret, const char *root, const char *value);
