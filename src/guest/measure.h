#pragma once
#include "wire/message.h"

/* What of the machine is in use. What can't be told is 0. */
#define MEASURE_INTERFACES_MAX 1024u /* network interfaces that are looked at */

void measure_take(struct message_measured *ret);

/* Of what /proc/meminfo and /proc/loadavg say. Pure. */
void measure_memory(struct message_measured *ret, const char *meminfo);
uint64_t measure_load(const char *loadavg);
