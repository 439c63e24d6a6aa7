#pragma once
#include <stdint.h>

/* How fast this host's processors count time (the time-stamp counter), in thousands a second; 0: they don't, or it
 * can't be told. Takes some milliseconds. */
uint64_t counter_khz(void);
