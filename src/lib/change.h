#pragma once
#include "lib/machine.h"

/* Settings that are lists, of a machine that runs: it takes over each text that is new, and what is gone. */

/* The link of a machine that runs; BUSY. */
MUST_USE int change_open(struct link **ret, struct annex_machine *machine, struct annex_error **err);

/* One text that the record has gained, or lost. */
typedef int change_fn(struct link *link, const char *text, bool is_new, struct annex_error **err);
/* Ask for all of what `after` has more than `before`, and no longer for what it has less. On failure all is as before.
 * A machine that does not run is none of it. */
MUST_USE int change_list(struct annex_machine *machine, const struct text_list *before, const struct text_list *after,
			 change_fn *change, struct annex_error **err);
