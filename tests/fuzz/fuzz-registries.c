#include "base/text.h"
#include "registry/registries.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted is found again by its own prefix, and says where it is from. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_registries struct registries registries = {0};
	auto_error struct annex_error *err = NULL;

	if (registries_add(&registries, (const char *)data, size, "x.conf", &err) < 0) {
		assert(annex_error_kind(err) == ANNEX_ERROR_CORRUPT);
		assert(text_starts(annex_error_message(err), "x.conf: "));
		return 0;
	}
	for (size_t i = 0; i < registries.count; i++) {
		const struct registries_entry *entry = &registries.entries[i], *found;
		size_t length = 0;

		assert(entry->prefix && *entry->prefix && strcmp(entry->file, "x.conf") == 0);
		found = registries_find(&length, &registries, entry->prefix);
		if (entry->prefix[0] == '*')
			continue;
		assert(found && strlen(found->prefix) >= strlen(entry->prefix));
		assert(length > 0 && length <= strlen(entry->prefix));
	}
	return 0;
}
