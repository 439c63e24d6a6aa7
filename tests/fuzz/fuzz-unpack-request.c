/* What annex-unpack is asked for: descriptors stay in their range, and what is taken is given back the same. */
#include "base/digest.h"
#include "unpack/request.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_error struct annex_error *err = NULL;
	auto_request struct request request = {0}, again = {0};
	auto_free char *text = NULL;

	if (request_decode(&request, (const char *)data, size, &err) < 0) {
		assert(err);
		return 0;
	}
	text = request_encode(request.layers, request.count);
	assert(text && request_decode(&again, text, strlen(text), NULL) == 0 && again.count == request.count);
	for (size_t i = 0; i < request.count; i++) {
		const struct rootfs_layer *a = &request.layers[i], *b = &again.layers[i];

		assert(a->index >= REQUEST_FIRST_FD && (a->source == ROOTFS_DECODE) == (a->fd >= REQUEST_FIRST_FD));
		assert((a->source == ROOTFS_COPY) == (a->donor_disk >= REQUEST_FIRST_FD));
		assert(digest_is_valid(a->digest) && digest_is_valid(a->diff_id));
		assert(a->fd == b->fd && a->index == b->index && a->donor_index == b->donor_index &&
		       a->donor_disk == b->donor_disk && a->size == b->size && strcmp(a->digest, b->digest) == 0);
	}
	return 0;
}
