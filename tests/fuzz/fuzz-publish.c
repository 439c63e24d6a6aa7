#include "base/text.h"
#include "network/publish.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_pattern(const char *text, const struct publish *publish)
{
	struct publish_pattern pattern;

	if (publish_pattern_parse(&pattern, text, NULL) < 0)
		__builtin_trap();
	assert(publish_matches(&pattern, publish));
}

/* What is accepted has one spelling, which is accepted and means the same; and either takes it away again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size), *spelling = NULL, *second = NULL;
	auto_error struct annex_error *err = NULL;
	struct publish publish, again;

	if (!text)
		return 0;
	if (publish_parse(&publish, text, &err) < 0) {
		assert(annex_error_kind(err) == ANNEX_ERROR_USAGE && annex_error_hint(err));
		return 0;
	}
	assert(publish.guest && publish.count && publish.count <= PUBLISH_PORTS_MAX);
	assert(publish.guest + publish.count - 1 <= UINT16_MAX && publish.host + publish.count - 1 <= UINT16_MAX);
	spelling = publish_text(&publish);
	assert(spelling && strlen(spelling) < PUBLISH_TEXT_LIMIT);
	if (publish_parse(&again, spelling, NULL) < 0)
		__builtin_trap();
	assert(publish_compare(&publish, &again) == 0 && publish_collides(&publish, &again));
	second = publish_text(&again);
	assert(second && strcmp(second, spelling) == 0);
	check_pattern(text, &publish);
	check_pattern(spelling, &publish);
	return 0;
}
