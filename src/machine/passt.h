#pragma once
#include "base/error.h"

#define MACHINE_PASST_VARIABLE "ANNEX_PASST"

/* passt: $ANNEX_PASST, else what PATH has; the caller frees *ret. NOT_FOUND, with a hint. */
MUST_USE int machine_passt_find(char **ret, struct annex_error **err);
