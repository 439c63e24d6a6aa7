#include "base/text.h"
#include "registry/reference.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted has one spelling: both of its forms are accepted and mean the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size), *normal = NULL, *familiar = NULL, *again = NULL;
	auto_error struct annex_error *err = NULL;
	auto_reference struct reference reference = {0};

	if (!text)
		return 0;
	if (reference_parse(&reference, text, &err) < 0) {
		assert(annex_error_kind(err) == ANNEX_ERROR_USAGE || annex_error_kind(err) == ANNEX_ERROR_UNSUPPORTED);
		return 0;
	}
	normal = reference_text(&reference);
	familiar = reference_familiar(&reference);
	assert(normal && familiar);
	if (reference_normalise(&again, familiar, NULL) < 0 || strcmp(again, normal) != 0)
		__builtin_trap();
	return 0;
}
