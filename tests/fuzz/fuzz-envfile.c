#include "cli/envfile.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *lookup(const char *key)
{
	static char value[] = "here";

	return *key == 'H' ? value : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_text_list struct text_list list = {0};
	auto_error struct annex_error *err = NULL;
	int result = envfile_parse(&list, "fuzz", (const char *)data, size, lookup, &err);

	assert((result < 0) == (err != NULL));
	for (size_t i = 0; i < list.count; i++) {
		assert(strcspn(list.items[i], "=") > 0 && strchr(list.items[i], '='));
		assert(!strchr(list.items[i], '\n'));
	}
	return 0;
}
