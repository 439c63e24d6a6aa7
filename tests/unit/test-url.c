#include "test.h"

#include "registry/suggest.h"
#include "registry/url.h"

#include <string.h>

static void origins_are_scheme_host_and_port(void **state)
{
	(void)state;
	assert_true(url_same_origin("https://a.example/x", "https://A.example:443/y?z"));
	assert_true(url_same_origin("http://[::1]:5000/", "http://[::1]:5000/v2/"));
	assert_false(url_same_origin("https://a.example/", "http://a.example/"));
	assert_false(url_same_origin("https://a.example/", "https://a.example:444/"));
	assert_false(url_same_origin("https://a.example/", "https://b.a.example/"));
	assert_false(url_same_origin("https://a.example/", "https://a.example@evil.example/"));
	assert_false(url_same_origin("https://a.example/", "nonsense\x01"));
}

static void domains_are_as_people_write_them(void **state)
{
	static const char *const cases[][2] = {
		{"https://a.example/v2/", "a.example"}, {"https://a.example:443/", "a.example"},
		{"http://a.example:80/", "a.example"},  {"https://a.example:5000/x", "a.example:5000"},
		{"http://[::1]:5000/x", "[::1]:5000"},  {"https://u:p@a.example/", "a.example"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_free char *domain = url_domain(cases[i][0]);

		assert_string_equal(domain, cases[i][1]);
	}
}

static void locations_lead_on_from_where_they_were_said(void **state)
{
	static const char *const cases[][3] = {
		{"https://a.example/v2/x/blobs/1", "/other?a=b", "https://a.example/other?a=b"},
		{"https://a.example/v2/x/blobs/1", "2", "https://a.example/v2/x/blobs/2"},
		{"https://a.example/v2/", "//b.example/c", "https://b.example/c"},
		{"https://a.example/v2/", "http://b.example/c", "http://b.example/c"},
		{"https://a.example/v2/", "file:///etc/passwd", "file:///etc/passwd"},
	};
	static const char *const bad[] = {"https://user:secret@b.example/", "https://", "http://a b.example/"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_free char *joined = NULL;

		assert_int_equal(url_join(&joined, cases[i][0], cases[i][1], NULL), 0);
		assert_string_equal(joined, cases[i][2]);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		auto_error struct annex_error *err = NULL;
		char *joined = NULL;

		assert_int_equal(url_join(&joined, "https://a.example/", bad[i], &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
		assert_null(strstr(annex_error_message(err), "secret"));
	}
}

static void queries_are_escaped_and_left_out_of_logs(void **state)
{
	auto_free char *url = strdup("https://a.example/token"), *public = NULL;

	(void)state;
	assert_int_equal(url_add_query(&url, "service", "a b&c"), 0);
	assert_int_equal(url_add_query(&url, "scope", "repository:x/y:pull"), 0);
	assert_string_equal(url, "https://a.example/token?service=a%20b%26c&scope=repository%3Ax%2Fy%3Apull");
	public = url_public(url);
	assert_string_equal(public, "https://a.example/token");
}

static char *suggest(const char *tags, const char *wanted)
{
	return suggest_tags(tags, strlen(tags), wanted);
}

static void tags_that_are_alike_are_suggested_first(void **state)
{
	auto_free char *slip = suggest("{\"tags\":[\"1\",\"bullseye\",\"bookworm\",\"bookworm-slim\"]}", "bokworm");
	auto_free char *start = suggest("{\"tags\":[\"3.1\",\"sid\",\"12.5\",\"12.6\"]}", "12");

	(void)state;
	assert_int_equal(strncmp(slip, "bookworm, ", 10), 0);
	assert_string_equal(start, "12.5, 12.6, 3.1, sid");
}

static void a_list_of_tags_that_is_none_suggests_nothing(void **state)
{
	static const char *const lists[] = {"",
					    "{}",
					    "[]",
					    "{\"tags\":null}",
					    "{\"tags\":[]}",
					    "{\"tags\":\"latest\"}",
					    "{\"tags\":[5,null,\"a b\",\"\\u001b[2J\"]}"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lists); i++)
		assert_null(suggest(lists[i], "latest"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(origins_are_scheme_host_and_port),
		cmocka_unit_test(domains_are_as_people_write_them),
		cmocka_unit_test(locations_lead_on_from_where_they_were_said),
		cmocka_unit_test(queries_are_escaped_and_left_out_of_logs),
		cmocka_unit_test(tags_that_are_alike_are_suggested_first),
		cmocka_unit_test(a_list_of_tags_that_is_none_suggests_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
