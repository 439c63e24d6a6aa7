#pragma once
#include "lib/machine.h"
#include "machine/session.h"

/* All that run or are kept, in the order of their start; one that no supervisor runs is lost. */
MUST_USE int sessions_load(struct session_list *ret, struct annex_machine *machine, struct annex_error **err);
/* The one that the prefix names. */
MUST_USE int sessions_find(struct session_record *ret, struct annex_machine *machine, const char *prefix,
			   struct annex_error **err);
bool sessions_is_over(const struct session_record *record);
