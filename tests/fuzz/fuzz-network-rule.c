#include "base/text.h"
#include "network/reserved.h"
#include "network/rule.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted has one spelling, which is accepted and means the same, and is nothing that can't be reached. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size), *spelling = NULL, *second = NULL;
	auto_error struct annex_error *err = NULL;
	struct rule rule = {0}, again = {0};

	if (!text)
		return 0;
	if (rule_parse(&rule, text, &err) < 0) {
		assert(annex_error_kind(err) == ANNEX_ERROR_USAGE && annex_error_hint(err));
		return 0;
	}
	assert(rule.first <= rule.last);
	assert(rule.kind != RULE_NETWORK || reserved_network(&rule.address, rule.prefix) != RESERVED_NEVER);
	spelling = rule_text(&rule);
	assert(spelling && strlen(spelling) <= RULE_TEXT_LIMIT);
	if (rule_parse(&again, spelling, NULL) < 0)
		__builtin_trap();
	second = rule_text(&again);
	assert(second && strcmp(second, spelling) == 0);
	return 0;
}
