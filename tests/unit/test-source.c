#include "test.h"
#include "folder.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "registry/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define OCI "application/vnd.oci.image."

static void write_file(const char *path, const char *text)
{
	auto_free char *whole = path_join(folder, path), *parent = path_join(folder, path);

	*strrchr(parent, '/') = '\0';
	assert_int_equal(file_make_folders(parent, 0700), 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, whole, text, strlen(text), 0600), 0);
}

/* A blob of the layout; appends "digest":…,"size":… */
static void add_blob(struct text *into, const char *layout, const char *text)
{
	auto_text struct text path = {0};
	char digest[DIGEST_TEXT];

	digest_of(digest, text, strlen(text));
	text_printf(&path, "%s/blobs/sha256/%s", layout, digest + strlen("sha256:"));
	write_file(path.data, text);
	text_printf(into, "\"digest\":\"%s\",\"size\":%zu", digest, strlen(text));
}

/* One entry of index.json: an image with one layer that holds `layer`. */
static void add_image(struct text *index, const char *layout, const char *layer, const char *annotations)
{
	auto_text struct text config = {0}, config_part = {0}, layer_part = {0}, manifest = {0};
	char diff_id[DIGEST_TEXT];

	digest_of(diff_id, layer, strlen(layer));
	text_printf(
		&config,
		"{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
		diff_id);
	add_blob(&config_part, layout, config.data);
	add_blob(&layer_part, layout, layer);
	text_printf(&manifest,
		    "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI
		    "config.v1+json\",%s},\"layers\":[{\"mediaType\":\"" OCI "layer.v1.tar\",%s}]}",
		    config_part.data, layer_part.data);
	text_printf(index, "%s{\"mediaType\":\"" OCI "manifest.v1+json\",", index->size ? "," : "");
	add_blob(index, layout, manifest.data);
	text_printf(index, ",\"annotations\":{%s}}", annotations);
}

static void save_layout(const char *layout, const struct text *index)
{
	auto_text struct text path = {0}, text = {0};

	text_printf(&path, "%s/index.json", layout);
	text_printf(&text, "{\"schemaVersion\":2,\"manifests\":[%s]}", index->data ? index->data : "");
	write_file(path.data, text.data);
	text_clear(&path);
	text_printf(&path, "%s/oci-layout", layout);
	write_file(path.data, "{\"imageLayoutVersion\":\"1.0.0\"}");
}

#define NAME(text)       "\"org.opencontainers.image.ref.name\":\"" text "\""
#define CONTAINERD(text) "\"io.containerd.image.name\":\"" text "\""

static const struct platform amd64 = {.os = "linux", .architecture = "amd64"};

static int open_source(struct image_source **ret, const char *prefix, const char *path, struct annex_error **err)
{
	const struct image_source_options options = {.input_fd = -1, .temporary_folder = folder};
	auto_text struct text spec = {0};

	text_printf(&spec, "%s%s/%s", prefix, folder, path);
	return image_source_open(ret, spec.data, &options, err);
}

static int resolve(const char *path, char name[300], struct annex_error **err)
{
	auto_image_source struct image_source *source = NULL;
	auto_image_manifest struct image_manifest manifest = {0};

	if (open_source(&source, "oci:", path, err) < 0 || image_source_manifest(&manifest, source, &amd64, err) < 0)
		return -1;
	snprintf(name, 300, "%s", image_source_name(source));
	return 0;
}

static void sources_are_told_by_their_spelling(void **state)
{
	(void)state;
	assert_true(image_source_is_spec("oci:x"));
	assert_true(image_source_is_spec("oci-archive:x:y"));
	assert_true(image_source_is_spec("docker-archive:x"));
	assert_true(image_source_is_spec("-"));
	assert_false(image_source_is_spec("debian:12"));
	assert_false(image_source_is_spec("ociregistry/x"));
	assert_false(image_source_is_spec("--"));
}

static void a_name_comes_from_the_best_that_the_source_says(void **state)
{
	static const struct {
		const char *folder, *annotations, *name;
	} cases[] = {
		{"debian", NAME("12"), "docker.io/library/debian:12"},
		{"any", NAME("quay.io/a/b:c"), "quay.io/a/b:c"},
		{"any2", NAME("1") "," CONTAINERD("docker.io/library/x:2"), "docker.io/library/x:2"},
		{"My Image (2).oci", "", "docker.io/library/my-image-2:latest"},
		{"bad-name", NAME("no tag!"), "docker.io/library/bad-name:latest"},
		{"worse", NAME("a/../b"), "docker.io/library/worse:latest"},
		{"---", "", "docker.io/library/image:latest"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		auto_text struct text index = {0};
		char name[300];

		add_image(&index, cases[i].folder, "layer", cases[i].annotations);
		save_layout(cases[i].folder, &index);
		assert_int_equal(resolve(cases[i].folder, name, &err), 0);
		assert_string_equal(name, cases[i].name);
	}
}

static void a_tag_chooses_among_several_images(void **state)
{
	auto_error struct annex_error *several = NULL, *none = NULL, *err = NULL;
	auto_text struct text index = {0};
	char name[300];

	(void)state;
	add_image(&index, "tags", "one", NAME("1"));
	add_image(&index, "tags", "two", NAME("2"));
	add_image(&index, "tags", "three", NAME("ghcr.io/x/y:3"));
	save_layout("tags", &index);
	assert_int_equal(resolve("tags:1", name, &err), 0);
	assert_string_equal(name, "docker.io/library/tags:1");
	assert_int_equal(resolve("tags:3", name, &err), 0);
	assert_string_equal(name, "ghcr.io/x/y:3");
	assert_int_equal(resolve("tags:ghcr.io/x/y:3", name, &err), 0);
	assert_int_equal(resolve("tags", name, &several), -1);
	assert_int_equal(annex_error_kind(several), ANNEX_ERROR_NOT_FOUND);
	assert_non_null(strstr(annex_error_message(several), "several images"));
	assert_non_null(strstr(annex_error_message(several), "1, 2, ghcr.io/x/y:3"));
	assert_non_null(strstr(annex_error_hint(several), "tags:1"));
	assert_int_equal(resolve("tags:4", name, &none), -1);
	assert_int_equal(annex_error_kind(none), ANNEX_ERROR_NOT_FOUND);
	assert_non_null(strstr(annex_error_message(none), "no image '4'"));
}

static void two_names_of_one_image_need_no_tag(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_text struct text index = {0};
	char name[300];

	(void)state;
	add_image(&index, "same", "one", NAME("1"));
	add_image(&index, "same", "one", NAME("latest"));
	save_layout("same", &index);
	assert_int_equal(resolve("same", name, &err), 0);
}

static void a_path_may_hold_colons(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_text struct text index = {0};
	char name[300];

	(void)state;
	add_image(&index, "a:b", "one", NAME("1"));
	save_layout("a:b", &index);
	assert_int_equal(resolve("a:b", name, &err), 0);
	assert_string_equal(name, "docker.io/library/a-b:1");
	assert_int_equal(resolve("a:b:1", name, &err), 0);
}

static void what_is_no_image_is_refused(void **state)
{
	static const struct {
		const char *prefix, *path, *reason;
		enum annex_error_kind kind;
	} cases[] = {
		{"oci:", "empty", "holds no image", ANNEX_ERROR_CORRUPT},
		{"oci:", "file/x", "is not a folder", ANNEX_ERROR_USAGE},
		{"oci:", "none", "does not exist", ANNEX_ERROR_NOT_FOUND},
		{"oci-archive:", "empty", "is a folder, not an archive", ANNEX_ERROR_USAGE},
		{"docker-archive:", "file/x", "is not a tar archive", ANNEX_ERROR_CORRUPT},
		{"oci:", "empty:", "tag behind the colon is missing", ANNEX_ERROR_USAGE},
		{"oci:", "future", "imageLayoutVersion is '2.0'", ANNEX_ERROR_UNSUPPORTED},
		{"http:", "x", "is not a source of images", ANNEX_ERROR_USAGE},
	};

	(void)state;
	write_file("empty/x", "x");
	write_file("file/x", "x");
	write_file("future/index.json", "{}");
	write_file("future/oci-layout", "{\"imageLayoutVersion\":\"2.0\"}");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		auto_image_source struct image_source *source = NULL;

		assert_int_equal(open_source(&source, cases[i].prefix, cases[i].path, &err), -1);
		assert_non_null(strstr(annex_error_message(err), cases[i].reason));
		assert_int_equal(annex_error_kind(err), cases[i].kind);
	}
}

static void a_layer_is_opened_at_its_start_if_its_size_is_right(void **state)
{
	auto_error struct annex_error *size = NULL, *missing = NULL, *err = NULL;
	auto_image_source struct image_source *source = NULL;
	auto_image_manifest struct image_manifest manifest = {0};
	auto_text struct text index = {0}, path = {0};
	auto_close int fd = -1;
	char bytes[8] = {0};
	int other;

	(void)state;
	add_image(&index, "layer", "tarball", "");
	save_layout("layer", &index);
	assert_int_equal(open_source(&source, "oci:", "layer", &err), 0);
	assert_int_equal(image_source_manifest(&manifest, source, &amd64, &err), 0);
	assert_int_equal(image_source_open_layer(&fd, source, &manifest, 0, &err), 0);
	assert_int_equal(read(fd, bytes, 7), 7);
	assert_string_equal(bytes, "tarball");
	text_printf(&path, "layer/blobs/sha256/%s", manifest.layers[0].digest + strlen("sha256:"));
	write_file(path.data, "tarbal");
	assert_int_equal(image_source_open_layer(&other, source, &manifest, 0, &size), -1);
	assert_int_equal(annex_error_kind(size), ANNEX_ERROR_CORRUPT);
	assert_non_null(strstr(annex_error_message(size), "has 6 bytes, not 7"));
	{
		auto_free char *whole = path_join(folder, path.data);

		assert_int_equal(unlink(whole), 0);
	}
	assert_int_equal(image_source_open_layer(&other, source, &manifest, 0, &missing), -1);
	assert_int_equal(annex_error_kind(missing), ANNEX_ERROR_CORRUPT);
	assert_non_null(strstr(annex_error_message(missing), "is missing"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources_are_told_by_their_spelling),
		cmocka_unit_test(a_name_comes_from_the_best_that_the_source_says),
		cmocka_unit_test(a_tag_chooses_among_several_images),
		cmocka_unit_test(two_names_of_one_image_need_no_tag),
		cmocka_unit_test(a_path_may_hold_colons),
		cmocka_unit_test(what_is_no_image_is_refused),
		cmocka_unit_test(a_layer_is_opened_at_its_start_if_its_size_is_right),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
