#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_PASST_VARIABLE "ANNEX_PASST"
/* Older ones don't take the machine's acknowledgements once it has ended its side of a connection: what the other side
 * still sends stops after 128 KiB, for ever. */
#define MACHINE_PASST_GOOD 20250911u

/* passt: $ANNEX_PASST, else what PATH has; the caller frees *ret. NOT_FOUND, with a hint. */
MUST_USE int machine_passt_find(char **ret, struct annex_error **err);
/* Is it one that can be relied upon? UNSUPPORTED with a hint: no. Runs it; blocks. */
MUST_USE int machine_passt_check(const char *program, struct annex_error **err);
/* "passt 2025_09_11.8a29a4f", "passt 0.0~git20230309.7c7625d-1" → 20230309; 0: it has none that is understood. Pure. */
uint32_t machine_passt_version(const char *said);
