#include "supervisor/restart.h"

#include <string.h>

unsigned restart_next(const struct restart_end *end)
{
	bool is_wanted = strcmp(end->policy, "always") == 0 || (strcmp(end->policy, "on-failure") == 0 && end->failed);

	if (end->asked || !is_wanted || (end->attempt == 0 && end->up_ms == 0))
		return 0;
	return end->up_ms >= RESTART_CALM_MS ? 1 : end->attempt + 1;
}

uint64_t restart_wait_ms(unsigned attempt)
{
	uint64_t wait = RESTART_FIRST_MS;

	for (unsigned i = 1; i < attempt && wait < RESTART_LONGEST_MS; i++)
		wait *= 2;
	return wait < RESTART_LONGEST_MS ? wait : RESTART_LONGEST_MS;
}
