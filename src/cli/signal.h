#pragma once
#include "base/error.h"

/* Signals by name, "TERM" or "SIGTERM" in either case, "RTMIN+3", or by number. USAGE. */
MUST_USE int signal_parse(int *ret, const char *text, struct annex_error **err);
/* The names, without SIG; NULL past the end, "" where there is none. */
const char *signal_name(int number);
#define SIGNAL_NAMES 32
