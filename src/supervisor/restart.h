#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Whether a machine that has ended is started again, and when (docs/settings.md). Pure. */
#define RESTART_FIRST_MS   1000u
#define RESTART_LONGEST_MS 60000u
#define RESTART_CALM_MS    300000u /* who was up for so long begins anew with the first wait */

struct restart_end {
	const char *policy; /* the setting: "no", "on-failure", "always" */
	bool asked;         /* somebody wanted it to stop */
	bool failed;
	unsigned attempt; /* which restart in a row this run was; 0: none */
	uint64_t up_ms;   /* for how long it was up; 0: it never was */
};

/* Which restart in a row comes now; 0: none. A machine that was never up is not started again: who started it sees why,
 * and it would not be better the next time. */
unsigned restart_next(const struct restart_end *end);
/* How long to wait before that one. */
uint64_t restart_wait_ms(unsigned attempt);
