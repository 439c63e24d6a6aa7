#pragma once
#include "base/error.h"

/* Diagnostics of our own processes, on standard error; debug lines only when ANNEX_DEBUG is set. The library never
 * logs above debug: what a user must know is an error or an event. */
void log_debug(const char *format, ...) PRINTF_LIKE(1, 2);
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
