#include "base/log.h"

#include "base/time.h"

#include <stdarg.h>
#include <stdio.h>

static void PRINTF_LIKE(1, 0) line(const char *format, va_list args)
{
	uint64_t now = time_monotonic_ms();
	auto_free char *text = NULL;

	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
		return;
	}
	dprintf(STDERR_FILENO, "annex[%d] %llu.%03llu: %s\n", (int)getpid(), (unsigned long long)(now / 1000),
		(unsigned long long)(now % 1000), text);
}

void log_debug(const char *format, ...)
{
	va_list args;

	if (!getenv("ANNEX_DEBUG"))
		return;
	va_start(args, format);
	line(format, args);
	va_end(args);
}

void log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line(format, args);
	va_end(args);
}
