#include "base/terminfo.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The name, a zero, and the entry. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\0', size);
	const char *name = (const char *)data;

	if (end && terminfo_is_name(name))
		(void)terminfo_is_entry(end + 1, size - (size_t)(end + 1 - data), name);
	return 0;
}
