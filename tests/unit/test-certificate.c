#include "base/text.h"
#include "home.h"
#include "registry/certificate.h"
#include "test.h"

#define PLACE ".config/containers/certs.d/"

static void expect_failure(const char *domain, enum annex_error_kind kind, const char *message)
{
	auto_certificates struct certificates found = {0};
	auto_error struct annex_error *err = NULL;

	assert_int_equal(certificates_find(&found, domain, &err), -1);
	assert_int_equal(annex_error_kind(err), kind);
	if (!strstr(annex_error_message(err), message))
		assert_string_equal(annex_error_message(err), message);
	assert_null(found.client);
}

static void there_may_be_none(void **state)
{
	auto_certificates struct certificates found = {0};

	(void)state;
	home_write(PLACE "other.io/ca.crt", "x", 0600);
	assert_int_equal(certificates_find(&found, "a.io", NULL), 0);
	assert_int_equal(found.authorities.count, 0);
	assert_null(found.client);
}

static void authorities_and_a_pair_are_found(void **state)
{
	auto_certificates struct certificates found = {0}, other = {0};

	(void)state;
	home_write(PLACE "a.io:5000/b.crt", "x", 0600);
	home_write(PLACE "a.io:5000/a.crt", "x", 0600);
	home_write(PLACE "a.io:5000/me.cert", "x", 0600);
	home_write(PLACE "a.io:5000/me.key", "x", 0600);
	home_write(PLACE "a.io:5000/.hidden.crt", "x", 0600);
	home_write(PLACE "a.io:5000/README", "x", 0600);
	assert_int_equal(certificates_find(&found, "a.io:5000", NULL), 0);
	assert_int_equal(found.authorities.count, 2);
	assert_string_equal(found.authorities.items[0], home_path(PLACE "a.io:5000/a.crt"));
	assert_string_equal(found.authorities.items[1], home_path(PLACE "a.io:5000/b.crt"));
	assert_string_equal(found.client, home_path(PLACE "a.io:5000/me.cert"));
	assert_string_equal(found.key, home_path(PLACE "a.io:5000/me.key"));
	assert_int_equal(certificates_find(&other, "a.io", NULL), 0);
	assert_int_equal(other.authorities.count, 0);
}

static void half_a_pair_is_an_error(void **state)
{
	(void)state;
	home_write(PLACE "a.io/me.cert", "x", 0600);
	expect_failure("a.io", ANNEX_ERROR_USAGE, "me.cert has no key");
	home_write(PLACE "b.io/me.key", "x", 0600);
	expect_failure("b.io", ANNEX_ERROR_USAGE, "me.key has no certificate");
}

static void there_is_one_pair_at_most(void **state)
{
	(void)state;
	home_write(PLACE "a.io/a.cert", "x", 0600);
	home_write(PLACE "a.io/a.key", "x", 0600);
	home_write(PLACE "a.io/b.cert", "x", 0600);
	home_write(PLACE "a.io/b.key", "x", 0600);
	expect_failure("a.io", ANNEX_ERROR_USAGE, "more than one client certificate: a.cert, b.cert");
}

static void what_leads_nowhere_is_an_error(void **state)
{
	(void)state;
	home_write(PLACE "a.io/x", "x", 0600);
	assert_int_equal(symlink("nowhere", home_path(PLACE "a.io/ca.crt")), 0);
	expect_failure("a.io", ANNEX_ERROR_SYSTEM, "cannot read");
}

#define TEST(name) cmocka_unit_test_setup(name, home_set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_may_be_none),         TEST(authorities_and_a_pair_are_found), TEST(half_a_pair_is_an_error),
		TEST(there_is_one_pair_at_most), TEST(what_leads_nowhere_is_an_error),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
