/* The texts of a folder of modules, one after the other with "%%\n" between: modules.dep, .builtin, .softdep, .alias.
 */
#include "kernel/modules.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *cut(char **rest)
{
	char *start = *rest, *end = start ? strstr(start, "%%\n") : NULL;

	if (end)
		*end = '\0';
	*rest = end ? end + 3 : NULL;
	return start;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"virtio_blk", "ext4", "virtio-rng", "a"};
	auto_free char *text = strndup((const char *)data, size);
	auto_modules struct modules *modules = NULL;
	auto_text_list struct text_list order = {0};
	struct modules_texts texts;
	char *rest = text;

	texts.dep = cut(&rest);
	texts.builtin = cut(&rest);
	texts.softdep = cut(&rest);
	texts.alias = cut(&rest);
	if (modules_parse(&modules, &texts, NULL) < 0)
		return 0;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		bool found;

		if (modules_add(modules, names[i], &order, &found, NULL) < 0)
			return 0;
	}
	return 0;
}
