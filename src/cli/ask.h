#pragma once
#include "base/error.h"

#include <stdbool.h>

/* Questions to the user, on the terminal. */
#define ASK_LIMIT 4096 /* bytes of an answer; a terminal's own limit */

/* Is there anybody? */
bool ask_can(void);
/* Print " [y/N] " and take the answer; nobody's answer is no. */
bool ask_yes(void);
/* Print the question and take a line; a hidden one is not shown while it is typed. The caller frees *ret. CANCELLED: a
 * signal came; USAGE: the input ended. */
MUST_USE int ask_line(char **ret, const char *question, bool hidden, struct annex_error **err);
