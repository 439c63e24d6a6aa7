#pragma once
#include "wire/message.h"

/* The machine's clock, which is the kernel's. */
#define CLOCK_STEP_NS INT64_C(500000000) /* what is less is not worth a step */

/* At the boot: to the host's time, whatever it was. */
void clock_begin(int64_t realtime_ns);
/* As the host says, later. It is stepped only when it is off by CLOCK_STEP_NS, and it is slewed only while no program
 * of the machine keeps it. */
void clock_handle(const struct message_clock *message);
/* Does a program of the machine (NTP) keep it? */
bool clock_is_disciplined(void);
