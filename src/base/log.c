#include "base/log.h"

#include "base/time.h"

#include <stdarg.h>
#include <stdio.h>

static void PRINTF_LIKE(1, 0) line(const char *format, va_list args)
{
	uint64_t now = time_monotonic_ms();
	auto_free char *text = NULL, *whole = NULL;
	int length;

	if (vasprintf(&text, format, args) < 0) {
		text = NULL;
		return;
	}
	length = asprintf(&whole, "annex[%d] %llu.%03llu: %s\n", (int)getpid(), (unsigned long long)(now / 1000),
			  (unsigned long long)(now % 1000), text);
	if (length < 0) {
		whole = NULL;
		return;
	}
	/* In one piece: where the guest's lines go, each write is a record. A line that can't be written is lost. */
	if (write(STDERR_FILENO, whole, (size_t)length) < 0)
		return;
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
