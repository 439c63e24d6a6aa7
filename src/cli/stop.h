#pragma once
#include "cli/option.h"

#define STOP_MAX_SECONDS 86400
/* As annex_machine_stop() takes it: -1 when not set. */
int64_t stop_timeout_ms(const struct option_number *seconds);
