#pragma once
#include "guest/guest.h"

/* Ask init to power the machine off, and kill it when the time is up (0: at once). */
void shutdown_begin(struct guest *guest, uint64_t timeout_ms);
/* Init is gone, or never was: end the sessions, tell what is to be told, and leave the loop. */
void shutdown_finish(struct guest *guest);
/* Something that shutdown_finish() waits for may have happened. */
void shutdown_check(struct guest *guest);
/* After the loop: write the disk and switch the virtual machine off. */
_Noreturn void shutdown_power_off(bool disk_mounted);
