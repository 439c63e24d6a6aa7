#include "machine/counter.h"

uint64_t counter_khz(void)
{
	return 0;
}
