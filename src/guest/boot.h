#pragma once
#include "guest/guest.h"

/* Everything between CONFIG and the start of init; blocks. */
MUST_USE int boot_machine(struct guest *guest, struct annex_error **err);
