#include "test.h"

#include "registry/reference.h"

#include <stdio.h>
#include <string.h>

static const char digest[] = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

static void names_have_one_spelling_and_a_short_one(void **state)
{
	static const struct {
		const char *text, *normal, *familiar;
	} cases[] = {
		{"debian", "docker.io/library/debian:latest", "debian:latest"},
		{"debian:12", "docker.io/library/debian:12", "debian:12"},
		{"docker.io/debian:12", "docker.io/library/debian:12", "debian:12"},
		{"index.docker.io/library/debian:12", "docker.io/library/debian:12", "debian:12"},
		{"docker.io/library/debian:12", "docker.io/library/debian:12", "debian:12"},
		{"grafana/grafana", "docker.io/grafana/grafana:latest", "grafana/grafana:latest"},
		{"library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"},
		{"localhost/x", "localhost/x:latest", "localhost/x:latest"},
		{"localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"},
		{"localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"},
		{"[::1]:5000/a/b:c", "[::1]:5000/a/b:c", "[::1]:5000/a/b:c"},
		{"[fe80::1]/a", "[fe80::1]/a:latest", "[fe80::1]/a:latest"},
		{"Registry/x", "Registry/x:latest", "Registry/x:latest"},
		{"ghcr.io/a-b/c_d/e__f/g--h.i:V1.2-x_y", "ghcr.io/a-b/c_d/e__f/g--h.i:V1.2-x_y",
		 "ghcr.io/a-b/c_d/e__f/g--h.i:V1.2-x_y"},
		{"docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"},
		{"docker.io/localhost/c", "docker.io/localhost/c:latest", "docker.io/localhost/c:latest"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		auto_reference struct reference reference = {0}, again = {0};
		auto_free char *normal = NULL, *familiar = NULL, *back = NULL;

		assert_int_equal(reference_parse(&reference, cases[i].text, &err), 0);
		normal = reference_text(&reference);
		familiar = reference_familiar(&reference);
		assert_string_equal(normal, cases[i].normal);
		assert_string_equal(familiar, cases[i].familiar);
		assert_int_equal(reference_parse(&again, familiar, &err), 0);
		back = reference_text(&again);
		assert_string_equal(back, normal);
	}
}

static void a_digest_takes_the_place_of_the_default_tag(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_reference struct reference reference = {0};
	auto_free char *text = NULL, *spelled = NULL, *tagged = NULL, *both = NULL;

	(void)state;
	assert_true(asprintf(&text, "ghcr.io/org/name@%s", digest) > 0);
	assert_true(asprintf(&tagged, "ghcr.io/org/name:1@%s", digest) > 0);
	assert_int_equal(reference_parse(&reference, text, &err), 0);
	assert_null(reference.tag);
	assert_string_equal(reference.digest, digest);
	spelled = reference_text(&reference);
	assert_string_equal(spelled, text);
	assert_int_equal(reference_normalise(&both, tagged, &err), 0);
	assert_string_equal(both, tagged);
}

static void what_is_not_a_name_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{"", "it is empty"},
		{"Debian", "upper-case letters"},
		{"debian:", "a tag is at most"},
		{"debian:-a", "a tag is at most"},
		{"debian:a:b", "parts are lower-case"},
		{"a/", "parts are lower-case"},
		{"/a", "parts are lower-case"},
		{"a//b", "parts are lower-case"},
		{"a___b", "parts are lower-case"},
		{"a..b", "parts are lower-case"},
		{"a..b/c", "host name is malformed"},
		{"x/a..b", "parts are lower-case"},
		{"a_", "parts are lower-case"},
		{"-a", "parts are lower-case"},
		{"-a.b/c", "host name is malformed"},
		{"a.b:0/c", "host name is malformed"},
		{"a.b:99999/c", "host name is malformed"},
		{"[::1/c", "host name is malformed"},
		{"docker://debian:12", "leave out the part up to ://"},
		{"a b", "parts are lower-case"},
		{"../etc", "host name is malformed"},
		{"debian@sha256:12", "a digest is sha256:"},
		{"debian@", "a digest is sha256:"},
		{"debian@a@b", "a digest is sha256:"},
		{"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "are an id"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = NULL;
		auto_reference struct reference reference = {0};

		assert_int_equal(reference_parse(&reference, cases[i].text, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		assert_non_null(strstr(annex_error_message(err), cases[i].reason));
		assert_non_null(annex_error_hint(err));
	}
}

static void lengths_are_limited(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_reference struct reference reference = {0};
	char text[700];

	(void)state;
	strcpy(text, "a.b/");
	memset(text + 4, 'c', REFERENCE_NAME_LIMIT - 4);
	text[REFERENCE_NAME_LIMIT] = '\0';
	assert_int_equal(reference_parse(&reference, text, &err), 0);
	reference_clear(&reference);
	strcpy(text + REFERENCE_NAME_LIMIT, "c");
	assert_int_equal(reference_parse(&reference, text, &err), -1);
	assert_non_null(strstr(annex_error_message(err), "longer than 255"));
	strcpy(text, "a:");
	memset(text + 2, 'T', REFERENCE_TAG_LIMIT);
	text[2 + REFERENCE_TAG_LIMIT] = '\0';
	assert_int_equal(reference_parse(&reference, text, NULL), 0);
	strcat(text, "T");
	reference_clear(&reference);
	assert_int_equal(reference_parse(&reference, text, NULL), -1);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(reference_parse(&reference, text, NULL), -1);
}

static void digests_of_other_algorithms_are_unsupported(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_reference struct reference reference = {0};

	(void)state;
	assert_int_equal(reference_parse(&reference, "debian@sha512:1234", &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_UNSUPPORTED);
}

static void a_registry_may_be_named_by_its_address(void **state)
{
	static const struct {
		const char *text, *domain;
	} cases[] = {
		{"ghcr.io", "ghcr.io"},
		{"https://ghcr.io", "ghcr.io"},
		{"http://localhost:5000/v2/x", "localhost:5000"},
		{"localhost/", "localhost"},
		{"[::1]:5000", "[::1]:5000"},
		{"docker.io", "docker.io"},
		{"https://index.docker.io/v1/", "docker.io"},
		{"registry-1.docker.io", "docker.io"},
	};
	static const struct {
		const char *text, *reason;
	} wrong[] = {
		{"", "is not the name of a registry"},       {"https://", "is not the name of a registry"},
		{"-", "is not the name of a registry"},      {"anna", "is not the name of a registry"},
		{"a b.io", "is not the name of a registry"}, {"ghcr.io/org", "but of something in one"},
		{"a.io:x", "is not the name of a registry"}, {"anna:secret@a.io", "is not the name of a registry"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_free char *domain = NULL;

		assert_int_equal(reference_parse_domain(&domain, cases[i].text, NULL), 0);
		assert_string_equal(domain, cases[i].domain);
	}
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		auto_error struct annex_error *err = NULL;
		auto_free char *domain = NULL;

		assert_int_equal(reference_parse_domain(&domain, wrong[i].text, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		assert_non_null(strstr(annex_error_message(err), wrong[i].reason));
		assert_non_null(annex_error_hint(err));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_have_one_spelling_and_a_short_one),
		cmocka_unit_test(a_digest_takes_the_place_of_the_default_tag),
		cmocka_unit_test(what_is_not_a_name_is_refused_with_the_reason),
		cmocka_unit_test(lengths_are_limited),
		cmocka_unit_test(a_registry_may_be_named_by_its_address),
		cmocka_unit_test(digests_of_other_algorithms_are_unsupported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
