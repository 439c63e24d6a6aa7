#include "base/text.h"
#include "machine/config.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is refused says in which line; what is accepted is KEY=VALUE with a line that is there. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_config struct config config = {0};
	auto_error struct annex_error *err = NULL;
	unsigned lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	if (config_parse(&config, (const char *)data, size, "c", &err) < 0) {
		assert(annex_error_kind(err) == ANNEX_ERROR_CORRUPT && text_starts(annex_error_message(err), "c:"));
		return 0;
	}
	for (size_t i = 0; i < config.count; i++) {
		assert(strchr(config.entries[i].pair, '='));
		assert(config.entries[i].line >= 1 && config.entries[i].line <= lines);
	}
	return 0;
}
