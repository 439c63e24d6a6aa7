#pragma once
#include <stdbool.h>
#include <stdint.h>

/* How fast something goes and how long it will take. Zero-initialise; feed it often. Times are of one clock, in
 * milliseconds. */
struct meter {
	bool running;
	bool fast;     /* `rate` means something */
	bool promised; /* `left_ms` does */
	uint64_t begin_ms;
	uint64_t sample_ms; /* of the last sample */
	uint64_t sample_done;
	double rate;    /* bytes per millisecond */
	double left_ms; /* as of the last sample */
};

/* So much is done. What was done before the first call took no time. */
void meter_update(struct meter *meter, uint64_t now_ms, uint64_t done, uint64_t total);
/* Bytes per second; false: not known yet. */
bool meter_rate(uint64_t *ret, const struct meter *meter);
/* The same for the time that is left. */
bool meter_left_ms(uint64_t *ret, const struct meter *meter, uint64_t now_ms);
