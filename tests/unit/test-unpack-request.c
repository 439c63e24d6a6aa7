#include "test.h"

#include "unpack/request.h"

#include <stdio.h>
#include <string.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void every_source_is_passed_on_with_the_descriptors_it_needs(void **state)
{
	const struct rootfs_layer layers[] = {
		{.source = ROOTFS_DECODE,
		 .compression = ROOTFS_ZSTD,
		 .digest = DIGEST,
		 .diff_id = DIGEST,
		 .size = 7,
		 .index = 6,
		 .fd = 7},
		{.source = ROOTFS_COPY,
		 .digest = DIGEST,
		 .diff_id = DIGEST,
		 .index = 8,
		 .donor_index = 9,
		 .donor_disk = 10},
		{.source = ROOTFS_KEEP,
		 .compression = ROOTFS_GZIP,
		 .digest = DIGEST,
		 .diff_id = DIGEST,
		 .size = 1ull << 40,
		 .index = 11},
	};
	auto_free char *text = request_encode(layers, COUNT_OF(layers));
	auto_request struct request request = {0};

	(void)state;
	assert_non_null(text);
	assert_int_equal(request_decode(&request, text, strlen(text), NULL), 0);
	assert_int_equal(request.count, COUNT_OF(layers));
	for (size_t i = 0; i < COUNT_OF(layers); i++) {
		assert_int_equal(request.layers[i].source, layers[i].source);
		assert_int_equal(request.layers[i].compression, layers[i].compression);
		assert_int_equal(request.layers[i].index, layers[i].index);
		assert_true(request.layers[i].size == layers[i].size);
		assert_string_equal(request.layers[i].digest, DIGEST);
		assert_string_equal(request.layers[i].diff_id, DIGEST);
	}
	assert_int_equal(request.layers[0].fd, 7);
	assert_int_equal(request.layers[0].donor_disk, -1);
	assert_int_equal(request.layers[1].fd, -1);
	assert_int_equal(request.layers[1].donor_index, 9);
	assert_int_equal(request.layers[1].donor_disk, 10);
	assert_int_equal(request.layers[2].fd, -1);
}

static void no_layers_are_a_request_too(void **state)
{
	auto_free char *text = request_encode(NULL, 0);
	auto_request struct request request = {0};

	(void)state;
	assert_int_equal(request_decode(&request, text, strlen(text), NULL), 0);
	assert_int_equal(request.count, 0);
}

static void refuse(const char *text)
{
	auto_error struct annex_error *err = NULL;
	struct request request = {0};

	assert_int_equal(request_decode(&request, text, strlen(text), &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
}

static void nonsense_is_refused(void **state)
{
	static const char *const layers[] = {
		"\"source\":\"keep\",\"compression\":\"plain\",\"size\":1,\"index\":5",
		"\"source\":\"keep\",\"compression\":\"plain\",\"size\":1,\"index\":10",
		"\"source\":\"keep\",\"compression\":\"plain\",\"size\":-1,\"index\":6",
		"\"source\":\"keep\",\"compression\":\"plain\",\"size\":1,\"index\":4294967302",
		"\"source\":\"keep\",\"compression\":\"plain\",\"size\":1,\"index\":6,\"blob\":7",
		"\"source\":\"decode\",\"compression\":\"plain\",\"size\":1,\"index\":6",
		"\"source\":\"decode\",\"compression\":\"plain\",\"size\":1,\"index\":6,\"blob\":-1",
		"\"source\":\"copy\",\"compression\":\"plain\",\"size\":1,\"index\":6,\"donor_index\":7",
		"\"source\":\"other\",\"compression\":\"plain\",\"size\":1,\"index\":6",
		"\"source\":\"keep\",\"compression\":\"lzma\",\"size\":1,\"index\":6",
	};
	char text[512];

	(void)state;
	refuse("");
	refuse("{}");
	refuse("{\"layers\":{}}");
	refuse("{\"layers\":[1]}");
	refuse("{\"layers\":[{}]}");
	for (size_t i = 0; i < COUNT_OF(layers); i++) {
		snprintf(text, sizeof(text), "{\"layers\":[{%s,\"digest\":\"" DIGEST "\",\"diff_id\":\"" DIGEST "\"}]}",
			 layers[i]);
		refuse(text);
	}
	refuse("{\"layers\":[{\"source\":\"keep\",\"compression\":\"plain\",\"size\":1,\"index\":6,\"digest\":\"" DIGEST
	       "\",\"diff_id\":\"sha256:short\"}]}");
}

static void too_many_layers_are_refused(void **state)
{
	auto_free struct rootfs_layer *layers = calloc(REQUEST_LAYERS + 1, sizeof(*layers));
	auto_request struct request request = {0};
	auto_free char *text = NULL, *more = NULL;

	(void)state;
	assert_non_null(layers);
	for (size_t i = 0; i <= REQUEST_LAYERS; i++)
		layers[i] =
			(struct rootfs_layer){.source = ROOTFS_KEEP, .digest = DIGEST, .diff_id = DIGEST, .index = 6};
	text = request_encode(layers, REQUEST_LAYERS);
	more = request_encode(layers, REQUEST_LAYERS + 1);
	assert_true(text && more && strlen(text) < REQUEST_LIMIT);
	assert_int_equal(request_decode(&request, text, strlen(text), NULL), 0);
	refuse(more);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_source_is_passed_on_with_the_descriptors_it_needs),
		cmocka_unit_test(no_layers_are_a_request_too),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(too_many_layers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
