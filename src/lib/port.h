#pragma once
#include "lib/machine.h"

/* Of a machine that runs: publish what `after` has more than `before`, and no longer what it has less. On failure all
 * is as before. */
MUST_USE int port_change(struct annex_machine *machine, const struct text_list *before, const struct text_list *after,
			 struct annex_error **err);
