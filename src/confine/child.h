#pragma once
#include "base/text.h"

/* For whoever starts a confined program. */

/* What of our environment it sees: nothing that could be a secret. The list's; NULL: no memory. */
const char *const *child_environment(struct text_list *list);
/* Of what it said on standard error: the line that names an error, else the last that says anything and is no debug
 * line; the caller frees it. NULL: there is none. */
char *child_complaint(const char *said);
/* The error that its end is. `status` is a wait status that is not that of a success; `said` may be NULL; `distrust`
 * is the hint when it tried what is forbidden. Returns -1. */
int child_death(const char *program, int status, const char *said, const char *distrust, struct annex_error **err);
