#include "test.h"

#include "base/digest.h"
#include "registry/manifest.h"
#include "registry/resolve.h"

#include <stdio.h>
#include <string.h>

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

#define OCI         "application/vnd.oci.image."
#define DOCKER      "application/vnd.docker."
#define CONFIG_PART "\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"" A "\",\"size\":10}"
#define LAYER(type) "{\"mediaType\":\"" type "\",\"digest\":\"" B "\",\"size\":20}"
#define MANIFEST    "{\"schemaVersion\":2," CONFIG_PART ",\"layers\":[" LAYER(OCI "layer.v1.tar+gzip") "]}"
#define CONFIG      "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" B "\"]}"

static int decode(struct document *ret, const char *text, const char *media_type, struct annex_error **err)
{
	return document_decode(ret, text, strlen(text), media_type, err);
}

static void every_known_type_of_layer_is_accepted_with_its_compression(void **state)
{
	static const struct {
		const char *type;
		enum media_compression compression;
	} cases[] = {
		{OCI "layer.v1.tar", MEDIA_PLAIN},
		{OCI "layer.v1.tar+gzip", MEDIA_GZIP},
		{OCI "layer.v1.tar+zstd", MEDIA_ZSTD},
		{OCI "layer.nondistributable.v1.tar", MEDIA_PLAIN},
		{OCI "layer.nondistributable.v1.tar+gzip", MEDIA_GZIP},
		{DOCKER "image.rootfs.diff.tar.gzip", MEDIA_GZIP},
		{DOCKER "image.rootfs.foreign.diff.tar.gzip", MEDIA_GZIP},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct media_type *type = NULL;

		assert_int_equal(media_expect(&type, cases[i].type, MEDIA_LAYER, NULL), 0);
		assert_int_equal(type->compression, cases[i].compression);
	}
	assert_string_equal(media_layer_name(MEDIA_ZSTD), OCI "layer.v1.tar+zstd");
}

static void a_manifest_without_a_type_is_told_by_its_fields(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_document struct document document = {0}, index = {0};

	(void)state;
	assert_int_equal(decode(&document, MANIFEST, NULL, &err), 0);
	assert_int_equal(document.type->kind, MEDIA_MANIFEST);
	assert_int_equal(document.count, 1);
	assert_string_equal(document.items[0].digest, B);
	assert_int_equal(document.items[0].size, 20);
	assert_string_equal(document.config.digest, A);
	assert_int_equal(
		decode(&index,
		       "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"" A
		       "\",\"size\":5,\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"},"
		       "\"annotations\":{\"org.opencontainers.image.ref.name\":\"12\"}}]}",
		       NULL, &err),
		0);
	assert_int_equal(index.type->kind, MEDIA_INDEX);
	assert_string_equal(index.items[0].platform.variant, "v8");
	assert_string_equal(index.items[0].ref_name, "12");
	assert_null(index.items[0].media_type);
}

static void what_is_wrong_with_a_document_is_named(void **state)
{
	static const struct {
		const char *text, *said;
		enum annex_error_kind kind;
		const char *reason;
	} cases[] = {
		{"x", NULL, ANNEX_ERROR_CORRUPT, "manifest: not JSON"},
		{"[]", NULL, ANNEX_ERROR_CORRUPT, "manifest: not a JSON object"},
		{"{}", NULL, ANNEX_ERROR_CORRUPT, "schemaVersion is missing"},
		{"{\"schemaVersion\":3}", NULL, ANNEX_ERROR_UNSUPPORTED, "schemaVersion is not 2"},
		{"{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, ANNEX_ERROR_UNSUPPORTED, "schema 1"},
		{"{\"schemaVersion\":2}", DOCKER "distribution.manifest.v1+prettyjws", ANNEX_ERROR_UNSUPPORTED,
		 "schema 1"},
		{"{\"schemaVersion\":2}", NULL, ANNEX_ERROR_CORRUPT, "config is missing"},
		{"{\"schemaVersion\":2,\"mediaType\":\"text/html\"}", NULL, ANNEX_ERROR_UNSUPPORTED,
		 "unknown media type 'text/html'"},
		{"{\"schemaVersion\":2,\"mediaType\":\"" OCI "config.v1+json\"}", NULL, ANNEX_ERROR_CORRUPT,
		 "neither an index nor a manifest"},
		{"{\"schemaVersion\":2,\"manifests\":[]," CONFIG_PART "}", NULL, ANNEX_ERROR_CORRUPT,
		 "an index and a manifest at once"},
		{MANIFEST, OCI "index.v1+json", ANNEX_ERROR_CORRUPT, "not a list"},
		{"{\"schemaVersion\":2,\"mediaType\":\"" OCI "manifest.v1+json\"," CONFIG_PART ",\"layers\":[]}",
		 DOCKER "distribution.manifest.v2+json", ANNEX_ERROR_CORRUPT, "but was called"},
		{"{\"schemaVersion\":2," CONFIG_PART ",\"layers\":[" LAYER(OCI "layer.v1.tar+lzma") "]}", NULL,
		 ANNEX_ERROR_UNSUPPORTED, "layer 1: unknown media type '" OCI "layer.v1.tar+lzma'"},
		{"{\"schemaVersion\":2," CONFIG_PART ",\"layers\":[" LAYER(OCI "config.v1+json") "]}", NULL,
		 ANNEX_ERROR_CORRUPT, "stands where a layer belongs"},
		{"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"" A
		 "\",\"size\":2},\"layers\":[]}",
		 NULL, ANNEX_ERROR_UNSUPPORTED,
		 "an artifact of type 'application/vnd.oci.empty.v1+json', not an image"},
		{"{\"schemaVersion\":2,\"artifactType\":\"application/"
		 "vnd.wasm.config.v0+json\",\"config\":{\"mediaType\":"
		 "\"application/vnd.oci.empty.v1+json\",\"digest\":\"" A "\",\"size\":2},\"layers\":[]}",
		 NULL, ANNEX_ERROR_UNSUPPORTED,
		 "an artifact of type 'application/vnd.wasm.config.v0+json', a WebAssembly module, not an image"},
		{"{\"schemaVersion\":2," CONFIG_PART
		 ",\"layers\":[" LAYER("application/vnd.dev.cosign.simplesigning.v1+json") "]}",
		 NULL, ANNEX_ERROR_UNSUPPORTED, "a signature or attestation of cosign, not an image"},
		{"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI
		 "config.v1+json\",\"digest\":\"sha512:ab\",\"size\":2},\"layers\":[]}",
		 NULL, ANNEX_ERROR_UNSUPPORTED, "not SHA-256"},
		{"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI
		 "config.v1+json\",\"digest\":\"sha256:../x\",\"size\":2},\"layers\":[]}",
		 NULL, ANNEX_ERROR_CORRUPT, "malformed digest"},
		{"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"" A
		 "\",\"size\":99999999},\"layers\":[]}",
		 NULL, ANNEX_ERROR_CORRUPT, "larger than 8 MiB"},
		{"{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"" A
		 "\",\"size\":1,\"platform\":{\"os\":\"a/b\"}}]}",
		 NULL, ANNEX_ERROR_CORRUPT, "platform is malformed"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		auto_document struct document document = {0};

		assert_int_equal(decode(&document, cases[i].text, cases[i].said, &err), -1);
		if (!strstr(annex_error_message(err), cases[i].reason))
			assert_string_equal(annex_error_message(err), cases[i].reason);
		assert_int_equal(annex_error_kind(err), cases[i].kind);
	}
}

static void more_layers_than_the_limit_are_refused(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_document struct document document = {0};
	auto_text struct text text = {0};

	(void)state;
	text_add(&text, "{\"schemaVersion\":2," CONFIG_PART ",\"layers\":[");
	for (unsigned i = 0; i <= MANIFEST_LAYER_LIMIT; i++)
		text_printf(&text, "%s" LAYER(OCI "layer.v1.tar"), i ? "," : "");
	text_add(&text, "]}");
	assert_int_equal(decode(&document, text.data, NULL, &err), -1);
	assert_non_null(strstr(annex_error_message(err), "513 layers are more than the limit of 512"));
}

static void a_configuration_says_how_to_run_the_image(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_image_config struct image_config config = {0};
	static const char text[] =
		CONFIG ",\"variant\":\"v2\",\"created\":\"2023-01-01T00:00:00Z\",\"config\":{\"Env\":[\"A=b\",\"C=\"],"
		       "\"Cmd\":[\"sh\"],"
		       "\"Entrypoint\":null,\"User\":\"www\",\"WorkingDir\":\"\",\"StopSignal\":\"SIGRTMIN+3\","
		       "\"Labels\":{\"x\":\"y\"},\"Volumes\":{}}}";

	(void)state;
	assert_int_equal(image_config_decode(&config, text, strlen(text), &err), 0);
	assert_string_equal(config.platform.architecture, "amd64");
	assert_string_equal(config.platform.variant, "v2");
	assert_int_equal(config.created, 1672531200);
	assert_int_equal(config.env.count, 2);
	assert_string_equal(config.command.items[0], "sh");
	assert_int_equal(config.entrypoint.count, 0);
	assert_string_equal(config.user, "www");
	assert_null(config.folder);
	assert_string_equal(config.stop_signal, "SIGRTMIN+3");
	assert_string_equal(json_string_value(json_object_get(config.labels, "x")), "y");
}

static void a_malformed_configuration_is_refused(void **state)
{
	static const char *const cases[][2] = {
		{"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}", "os or architecture is missing"},
		{"{\"os\":\"linux\",\"architecture\":\"amd64\"}", "rootfs is missing"},
		{"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"disk\",\"diff_ids\":[]}}",
		 "unknown type 'disk'"},
		{"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"x\"]}}",
		 "malformed digest 'x'"},
		{CONFIG ",\"config\":{\"Cmd\":\"sh\"}}", "Cmd: not a list of texts"},
		{CONFIG ",\"config\":{\"Labels\":{\"a\":1}}}", "Labels: 'a' is not a text"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		auto_image_config struct image_config config = {0};

		assert_int_equal(image_config_decode(&config, cases[i][0], strlen(cases[i][0]), &err), -1);
		assert_non_null(strstr(annex_error_message(err), cases[i][1]));
	}
}

/* Documents by digest, as a registry would have them. */
static struct {
	char digest[DIGEST_TEXT];
	char *text;
} blobs[64];
static size_t blob_count;

static const char *add_blob(const char *text)
{
	blobs[blob_count].text = strdup(text);
	digest_of(blobs[blob_count].digest, text, strlen(text));
	return blobs[blob_count++].digest;
}

static int forget_blobs(void **state)
{
	(void)state;
	while (blob_count)
		free(blobs[--blob_count].text);
	return 0;
}

static int fetch(char **ret, size_t *ret_size, const struct descriptor *wanted, size_t limit, void *data,
		 struct annex_error **err)
{
	(void)data;
	(void)limit;
	for (size_t i = 0; i < blob_count; i++) {
		if (strcmp(blobs[i].digest, wanted->digest) == 0) {
			*ret = strdup(blobs[i].text);
			*ret_size = strlen(blobs[i].text);
			return 0;
		}
	}
	return fail(err, ANNEX_ERROR_NOT_FOUND, "no blob %s", wanted->digest);
}

/* JSON of a descriptor for a text; `more` are further fields. */
static void describe(struct text *into, const char *text, const char *more)
{
	text_printf(into, "{\"digest\":\"%s\",\"size\":%zu%s}", add_blob(text), strlen(text), more);
}

static void make_image(struct text *into, const char *architecture, unsigned layers, const char *more)
{
	auto_text struct text config = {0}, manifest = {0};

	text_printf(&config,
		    "{\"os\":\"linux\",\"architecture\":\"%s\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" B
		    "\"]}}",
		    architecture);
	text_printf(&manifest,
		    "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI
		    "config.v1+json\",\"digest\":\"%s\",\"size\":%zu}",
		    add_blob(config.data), config.size);
	text_add(&manifest, ",\"layers\":[");
	for (unsigned i = 0; i < layers; i++)
		text_printf(&manifest, "%s" LAYER(OCI "layer.v1.tar"), i ? "," : "");
	text_add(&manifest, "]}");
	describe(into, manifest.data, more);
}

static int resolve(struct image_manifest *ret, const char *index, const char *platform, struct annex_error **err)
{
	auto_document struct document document = {0};
	struct platform wanted;

	assert_int_equal(platform_parse(&wanted, platform, NULL), 0);
	assert_int_equal(decode(&document, index, NULL, NULL), 0);
	return resolve_manifest(ret, document.items, document.count, &wanted, fetch, NULL, err);
}

static void begin(struct text *index)
{
	text_add(index, "{\"schemaVersion\":2,\"manifests\":[");
}

#define PLATFORM(arch) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"}"

static void the_image_for_the_platform_is_found_in_nested_indexes(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_image_manifest struct image_manifest found = {0}, declared = {0};
	auto_text struct text inner = {0}, outer = {0};

	(void)state;
	begin(&inner);
	make_image(&inner, "arm64", 1, PLATFORM("arm64"));
	text_add(&inner, ",");
	make_image(&inner, "riscv64", 1, "");
	text_add(&inner, "]}");
	begin(&outer);
	make_image(&outer, "amd64", 1, "");
	text_add(&outer, ",");
	describe(&outer, inner.data, "");
	text_add(&outer, "]}");
	assert_int_equal(resolve(&found, outer.data, "linux/riscv64", &err), 0);
	assert_string_equal(found.config.platform.architecture, "riscv64");
	assert_int_equal(found.entry, 1);
	assert_int_equal(found.layer_count, 1);
	assert_string_equal(found.layers[0].digest, B);
	assert_string_equal(found.layers[0].diff_id, B);
	assert_int_equal(resolve(&declared, outer.data, "linux/arm64", &err), 0);
	assert_string_equal(declared.platform.architecture, "arm64");
}

static void a_missing_platform_is_answered_with_those_there_are(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_image_manifest struct image_manifest found = {0};
	auto_text struct text index = {0};

	(void)state;
	begin(&index);
	make_image(&index, "arm64", 1, PLATFORM("arm64"));
	text_add(&index, ",");
	make_image(&index, "amd64", 1, "");
	text_add(&index, ",");
	make_image(&index, "x", 1,
		   PLATFORM("unknown") ",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}");
	text_add(&index, "]}");
	assert_int_equal(resolve(&found, index.data, "linux/s390x", &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
	assert_string_equal(annex_error_message(err),
			    "there is no image for linux/s390x; there is linux/arm64, linux/amd64");
	assert_string_equal(annex_error_hint(err), "--platform linux/arm64");
}

static void layers_and_diff_ids_must_be_as_many(void **state)
{
	auto_error struct annex_error *err = NULL, *none = NULL;
	auto_image_manifest struct image_manifest found = {0};
	auto_text struct text two = {0}, zero = {0};

	(void)state;
	begin(&two);
	make_image(&two, "amd64", 2, "");
	text_add(&two, "]}");
	assert_int_equal(resolve(&found, two.data, "amd64", &err), -1);
	assert_string_equal(annex_error_message(err), "the manifest has 2 layers, but the image's configuration has 1");
	begin(&zero);
	make_image(&zero, "amd64", 0, "");
	text_add(&zero, "]}");
	assert_int_equal(resolve(&found, zero.data, "amd64", &none), -1);
	assert_string_equal(annex_error_message(none), "the image has no layers");
}

static void what_is_not_what_it_is_called_is_corrupt(void **state)
{
	static const char *const cases[][2] = {
		{"{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":3}]}", "2 bytes, not 3"},
		{"{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":2}]}",
		 "the digest of its contents is"},
		{"{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":5000000}]}", "larger than 4 MiB"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		auto_image_manifest struct image_manifest found = {0};
		auto_text struct text index = {0};
		char digest[DIGEST_TEXT];

		strcpy(digest, add_blob("{}"));
		strcpy(blobs[blob_count - 1].text, "[]");
		for (const char *at = cases[i][0]; *at; at++) {
			if (*at == '%')
				text_add(&index, digest), at++;
			else
				text_add_char(&index, *at);
		}
		assert_int_equal(resolve(&found, index.data, "amd64", &err), -1);
		assert_non_null(strstr(annex_error_message(err), cases[i][1]));
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
		forget_blobs(NULL);
	}
}

static void artifacts_beside_the_image_do_no_harm_but_alone_they_are_named(void **state)
{
	static const char artifact[] =
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.cncf.helm\",\"digest\":\"" A
		"\",\"size\":2},\"layers\":[]}";
	auto_error struct annex_error *err = NULL;
	auto_image_manifest struct image_manifest found = {0};
	auto_text struct text mixed = {0}, alone = {0};

	(void)state;
	begin(&mixed);
	describe(&mixed, artifact, "");
	text_add(&mixed, ",");
	make_image(&mixed, "amd64", 1, "");
	text_add(&mixed, "]}");
	assert_int_equal(resolve(&found, mixed.data, "amd64", &err), 0);
	image_manifest_clear(&found);
	begin(&alone);
	describe(&alone, artifact, "");
	text_add(&alone, "]}");
	assert_int_equal(resolve(&found, alone.data, "amd64", &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_UNSUPPORTED);
	assert_non_null(strstr(annex_error_message(err), "application/vnd.cncf.helm"));
}

static void indexes_nest_four_deep_and_no_deeper(void **state)
{
	auto_text struct text image = {0};
	auto_free char *last = NULL;

	(void)state;
	begin(&image);
	make_image(&image, "amd64", 1, "");
	text_add(&image, "]}");
	last = text_take(&image);
	for (unsigned depth = 0; depth <= RESOLVE_DEPTH_LIMIT + 1; depth++) {
		auto_error struct annex_error *err = NULL;
		auto_image_manifest struct image_manifest found = {0};
		auto_text struct text outer = {0};
		int result = resolve(&found, last, "amd64", &err);

		if (depth <= RESOLVE_DEPTH_LIMIT) {
			assert_int_equal(result, 0);
		} else {
			assert_int_equal(result, -1);
			assert_non_null(strstr(annex_error_message(err), "nested more than 4 deep"));
		}
		begin(&outer);
		describe(&outer, last, "");
		text_add(&outer, "]}");
		free(last);
		last = text_take(&outer);
	}
}

/* "hello" */
#define HELLO "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define EMBEDDED(digest, size, data)                                                                                   \
	"{\"schemaVersion\":2," CONFIG_PART ",\"layers\":[{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" digest \
	"\",\"size\":" size ",\"data\":\"" data "\"}]}"

static void embedded_contents_count_when_size_and_digest_fit(void **state)
{
	static const char *const unfit[] = {
		EMBEDDED(HELLO, "6", "aGVsbG8="), EMBEDDED(A, "5", "aGVsbG8="), EMBEDDED(HELLO, "5", "aGVsbG8"),
		EMBEDDED(HELLO, "5", "****"),     EMBEDDED(HELLO, "5", ""),
	};
	auto_document struct document document = {0};

	(void)state;
	assert_int_equal(decode(&document, EMBEDDED(HELLO, "5", "aGVsbG8="), NULL, NULL), 0);
	assert_non_null(document.items[0].data);
	assert_memory_equal(document.items[0].data, "hello", 5);
	for (size_t i = 0; i < COUNT_OF(unfit); i++) {
		auto_document struct document other = {0};

		assert_int_equal(decode(&other, unfit[i], NULL, NULL), 0);
		assert_null(other.items[0].data);
	}
}

static void addresses_of_layers_are_kept_if_they_are_of_https(void **state)
{
	auto_document struct document document = {0};

	(void)state;
	assert_int_equal(decode(&document,
				"{\"schemaVersion\":2," CONFIG_PART ",\"layers\":[{\"mediaType\":\"" OCI
				"layer.nondistributable.v1.tar+gzip\",\"digest\":\"" B
				"\",\"size\":20,\"urls\":[\"http://a.example/\",\"file:///etc/passwd\","
				"\"https://b.example/x\"]}]}",
				NULL, NULL),
			 0);
	assert_int_equal(document.items[0].urls.count, 1);
	assert_string_equal(document.items[0].urls.items[0], "https://b.example/x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_known_type_of_layer_is_accepted_with_its_compression),
		cmocka_unit_test(a_manifest_without_a_type_is_told_by_its_fields),
		cmocka_unit_test(what_is_wrong_with_a_document_is_named),
		cmocka_unit_test(more_layers_than_the_limit_are_refused),
		cmocka_unit_test(a_configuration_says_how_to_run_the_image),
		cmocka_unit_test(a_malformed_configuration_is_refused),
		cmocka_unit_test_teardown(the_image_for_the_platform_is_found_in_nested_indexes, forget_blobs),
		cmocka_unit_test_teardown(a_missing_platform_is_answered_with_those_there_are, forget_blobs),
		cmocka_unit_test_teardown(layers_and_diff_ids_must_be_as_many, forget_blobs),
		cmocka_unit_test_teardown(what_is_not_what_it_is_called_is_corrupt, forget_blobs),
		cmocka_unit_test(embedded_contents_count_when_size_and_digest_fit),
		cmocka_unit_test(addresses_of_layers_are_kept_if_they_are_of_https),
		cmocka_unit_test_teardown(artifacts_beside_the_image_do_no_harm_but_alone_they_are_named, forget_blobs),
		cmocka_unit_test_teardown(indexes_nest_four_deep_and_no_deeper, forget_blobs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
