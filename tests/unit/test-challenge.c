#include "test.h"

#include "registry/challenge.h"

#include <stdio.h>
#include <string.h>

static void a_bearer_challenge_is_taken_apart(void **state)
{
	auto_challenge_list struct challenge_list list = {0};
	const struct challenge *chosen;

	(void)state;
	assert_int_equal(challenge_parse(&list,
					 "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
					 "scope=\"repository:library/debian:pull,push\",error=\"invalid_token\""),
			 0);
	chosen = challenge_choose(&list);
	assert_non_null(chosen);
	assert_int_equal(chosen->scheme, CHALLENGE_BEARER);
	assert_string_equal(chosen->realm, "https://auth.docker.io/token");
	assert_string_equal(chosen->service, "registry.docker.io");
	assert_string_equal(chosen->scope, "repository:library/debian:pull,push");
	assert_string_equal(chosen->error, "invalid_token");
}

static void servers_are_free_with_spaces_and_letters(void **state)
{
	static const char *const headers[] = {
		"bearer realm = \"r\" , service = s",
		"  ,, BEARER  Realm=r,SERVICE=\"s\",",
		"Bearer service=s, realm=\"r\", unknown=\"x, y=z\"",
		"Negotiate, Bearer realm=\"r\",service=\"s\"",
		"Digest realm=\"d\", nonce=\"a\\\"b\", Bearer realm=\"\\r\", service=s",
		"Bearer realm=\"r\",service=s,realm=\"second\"",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		auto_challenge_list struct challenge_list list = {0};
		const struct challenge *chosen;

		assert_int_equal(challenge_parse(&list, headers[i]), 0);
		chosen = challenge_choose(&list);
		assert_non_null(chosen);
		assert_int_equal(chosen->scheme, CHALLENGE_BEARER);
		assert_string_equal(chosen->realm, "r");
		assert_string_equal(chosen->service, "s");
	}
}

static void bearer_is_answered_before_basic_wherever_it_stands(void **state)
{
	auto_challenge_list struct challenge_list list = {0};

	(void)state;
	assert_int_equal(challenge_parse(&list, "Basic realm=\"a\", Bearer realm=\"b\""), 0);
	assert_int_equal(list.count, 2);
	assert_string_equal(challenge_choose(&list)->realm, "b");
}

static void several_headers_add_up(void **state)
{
	auto_challenge_list struct challenge_list list = {0};

	(void)state;
	assert_int_equal(challenge_parse(&list, "Negotiate"), 0);
	assert_null(challenge_choose(&list));
	assert_int_equal(challenge_parse(&list, "Basic realm=x"), 0);
	assert_int_equal(challenge_choose(&list)->scheme, CHALLENGE_BASIC);
}

static void what_is_malformed_is_no_challenge_that_could_be_answered(void **state)
{
	static const char *const headers[] = {
		"",
		",",
		"=",
		"Bearer",
		"Bearer realm=\"",
		"Bearer realm",
		"realm=\"x\"",
		"Bearer service=\"x\"",
		"Bearer =x",
		"\"Bearer\" realm=x",
		"Bearer realm=\"x\\",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		auto_challenge_list struct challenge_list list = {0};

		assert_int_equal(challenge_parse(&list, headers[i]), 0);
		assert_null(challenge_choose(&list));
	}
}

static void there_is_an_end_to_schemes_and_lengths(void **state)
{
	auto_challenge_list struct challenge_list list = {0};
	auto_text struct text many = {0}, large = {0};

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		text_add(&many, "Other, ");
	text_add(&many, "Basic realm=x");
	assert_int_equal(challenge_parse(&list, many.data), 0);
	assert_int_equal(list.count, CHALLENGE_LIMIT);
	assert_null(challenge_choose(&list));
	challenge_list_clear(&list);
	text_add(&large, "Basic realm=");
	for (unsigned i = 0; i < CHALLENGE_HEADER_LIMIT; i++)
		text_add_char(&large, 'x');
	assert_int_equal(challenge_parse(&list, large.data), 0);
	assert_int_equal(list.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bearer_challenge_is_taken_apart),
		cmocka_unit_test(servers_are_free_with_spaces_and_letters),
		cmocka_unit_test(bearer_is_answered_before_basic_wherever_it_stands),
		cmocka_unit_test(several_headers_add_up),
		cmocka_unit_test(what_is_malformed_is_no_challenge_that_could_be_answered),
		cmocka_unit_test(there_is_an_end_to_schemes_and_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
