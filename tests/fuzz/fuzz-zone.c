#include "base/zone.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char rule[ZONE_RULE_MAX + 1], text[512];

	if (zone_rule_of(rule, data, size))
		assert(zone_is_rule(rule) && strlen(rule) <= ZONE_RULE_MAX);
	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	assert(!zone_is_name(text) || (text[0] != '/' && !strstr(text, "..") && !strstr(text, "//")));
	assert(!zone_of_path(text) || zone_is_name(zone_of_path(text)));
	return 0;
}
