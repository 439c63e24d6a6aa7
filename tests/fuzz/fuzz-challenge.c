#include "registry/challenge.h"
#include "registry/retry.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a server's headers say: challenges and Retry-After. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size);
	auto_challenge_list struct challenge_list list = {0};
	const struct challenge *chosen;

	if (!text || challenge_parse(&list, text) < 0)
		return 0;
	chosen = challenge_choose(&list);
	assert(list.count <= CHALLENGE_LIMIT);
	assert(!chosen || chosen->scheme != CHALLENGE_OTHER);
	assert(!chosen || chosen->scheme != CHALLENGE_BEARER || strlen(chosen->realm) <= size);
	assert(retry_parse_after(text, 1795650000) >= -1);
	return 0;
}
