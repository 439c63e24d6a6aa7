#pragma once
#include <stddef.h>
#include <stdint.h>
#include <time.h>

uint64_t time_monotonic_ms(void);
int64_t time_realtime_ns(void); /* since 1970, UTC */

/* RFC 3339 in UTC with seconds: "2026-11-25T18:07:00Z". Returns the buffer. */
#define TIME_BUFFER 32
const char *time_format(char buffer[TIME_BUFFER], int64_t seconds);
/* Reads what time_format() writes, fractions and offsets included; -EINVAL. */
int time_parse(int64_t *ret, const char *text);

/* Deadlines grow with what the machine runs on: emulation is 10 to 16 times slower. ANNEX_TIMEOUT_SCALE
 * multiplies: "3" on a slow host, "0.5" to fail sooner. */
uint64_t time_scaled_ms(uint64_t ms, unsigned factor);
