#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* The virtual machine's processors. */
#define PROCESSOR_MAX 1024u

struct processor_set {
	bool has[PROCESSOR_MAX];
	unsigned count;
};
/* As the kernel lists them: "0-3,5\n"; false for what is no list of numbers below PROCESSOR_MAX. */
bool processor_parse(struct processor_set *ret, const char *list);

/* Use so many: those that are added meanwhile are waited for, the last ones are left first. *ret: how many are used,
 * also on failure. Blocks. */
MUST_USE int processor_use(uint64_t *ret, uint64_t wanted, uint64_t timeout_ms, struct annex_error **err);
