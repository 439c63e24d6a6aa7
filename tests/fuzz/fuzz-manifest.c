#include "base/digest.h"
#include "registry/manifest.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_document(const uint8_t *data, size_t size)
{
	auto_error struct annex_error *err = NULL;
	auto_document struct document document = {0};

	if (document_decode(&document, (const char *)data, size, NULL, &err) < 0) {
		assert(err);
		return;
	}
	assert(document.count <= (document.type->kind == MEDIA_INDEX ? INDEX_LIMIT : MANIFEST_LAYER_LIMIT));
	for (size_t i = 0; i < document.count; i++)
		assert(digest_is_valid(document.items[i].digest));
}

static void check_config(const uint8_t *data, size_t size)
{
	auto_error struct annex_error *err = NULL;
	auto_image_config struct image_config config = {0};

	if (image_config_decode(&config, (const char *)data, size, &err) < 0) {
		assert(err);
		return;
	}
	assert(config.diff_ids.count <= MANIFEST_LAYER_LIMIT);
	for (size_t i = 0; i < config.diff_ids.count; i++)
		assert(digest_is_valid(config.diff_ids.items[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_document(data, size);
	check_config(data, size);
	return 0;
}
