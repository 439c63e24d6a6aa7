#pragma once
#include "cli/command.h"
#include "cli/output.h"

/* What the commands that work with a machine's shares have in common. */

/* What it shares, or would at a start: a list of objects. */
MUST_USE int shares_list(json_t **ret, struct annex_machine *machine, struct annex_error **err);
/* The one at this path of the machine, or NULL. */
const json_t *shares_find(const json_t *list, const char *target);
/* A text of a share; "" where it has none. */
const char *shares_text(const json_t *share, const char *key);
