#include "machine/proxy.h"
#include "test.h"

#include <string.h>

static const char *const variables[] = {"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
					"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"};

static int clear(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++)
		unsetenv(variables[i]);
	return 0;
}

static void a_proxy_on_the_hosts_loopback_is_at_the_hosts_name(void **state)
{
	static const struct {
		const char *value, *made; /* NULL: as it is */
	} cases[] = {
		{"http://proxy.example.com:3128", NULL},
		{"proxy.example.com:3128", NULL},
		{"http://[2001:db8::1]:3128/", NULL},
		{"http://192.0.2.1:3128", NULL},
		{"http://localhost.example.com:3128", NULL},
		{"http://127.example.com:3128", NULL},
		{"http://localhost@proxy.example.com", NULL},
		{"http://notlocalhost", NULL},
		{"http://[", NULL},
		{"http://", NULL},
		{"http://localhost:3128", "http://host.annex.internal:3128"},
		{"http://localhost", "http://host.annex.internal"},
		{"http://LocalHost.:3128/", "http://host.annex.internal:3128/"},
		{"localhost:3128", "host.annex.internal:3128"},
		{"http://proxy.localhost:3128", "http://host.annex.internal:3128"},
		{"http://localhost.localdomain:1", "http://host.annex.internal:1"},
		{"http://127.0.0.1:8080/path?a=@b", "http://host.annex.internal:8080/path?a=@b"},
		{"127.1:8080", "host.annex.internal:8080"},
		{"http://0.0.0.0:8080", "http://host.annex.internal:8080"},
		{"http://ada:p%40ss@127.0.0.2:3128", "http://ada:p%40ss@host.annex.internal:3128"},
		{"http://ada:p@ss@localhost:3128", "http://ada:p@ss@host.annex.internal:3128"},
		{"socks5h://[::1]:1080", "socks5h://host.annex.internal:1080"},
		{"socks5://[::ffff:127.0.0.1]:1080", "socks5://host.annex.internal:1080"},
		{"http://[::]", "http://host.annex.internal"},
		{"::1", "host.annex.internal"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_free char *made = NULL, *without = NULL;

		assert_int_equal(proxy_translate(&made, cases[i].value, true), 0);
		assert_string_equal(made, cases[i].made ? cases[i].made : cases[i].value);
		assert_int_equal(proxy_translate(&without, cases[i].value, false), 0);
		if (cases[i].made)
			assert_null(without);
		else
			assert_string_equal(without, cases[i].value);
	}
}

static void expect(bool host_access, bool left_out, const char *const *wanted)
{
	auto_proxies struct proxies found = {0};

	assert_int_equal(proxies_find(&found, host_access, NULL), 0);
	assert_int_equal(found.left_out, left_out);
	for (size_t i = 0; i < found.variables.count && *wanted; i++, wanted++)
		assert_string_equal(found.variables.items[i], *wanted);
	assert_null(*wanted);
}

#define DIRECT ".annex.internal,198.19.0.0/16,localhost,127.0.0.1,::1"

static void what_the_environment_says_is_found(void **state)
{
	(void)state;
	setenv("no_proxy", "example.com", 1);
	expect(true, false, (const char *const[]){NULL});
	setenv("http_proxy", " http://localhost:3128\n", 1);
	setenv("HTTPS_PROXY", "http://proxy:1", 1);
	setenv("ALL_PROXY", "", 1);
	expect(true, false,
	       (const char *const[]){"http_proxy=http://host.annex.internal:3128", "HTTPS_PROXY=http://proxy:1",
				     "no_proxy=example.com," DIRECT, "NO_PROXY=example.com," DIRECT, NULL});
	expect(false, true,
	       (const char *const[]){"HTTPS_PROXY=http://proxy:1", "no_proxy=example.com," DIRECT,
				     "NO_PROXY=example.com," DIRECT, NULL});
	unsetenv("HTTPS_PROXY");
	expect(false, true, (const char *const[]){NULL});
}

static void the_machines_are_reached_without_a_proxy(void **state)
{
	(void)state;
	setenv("HTTP_PROXY", "http://proxy:1", 1);
	expect(true, false,
	       (const char *const[]){"HTTP_PROXY=http://proxy:1", "no_proxy=" DIRECT, "NO_PROXY=" DIRECT, NULL});
	setenv("no_proxy", "localhost, .annex.internal ,127.0.0.1", 1);
	setenv("NO_PROXY", "*", 1);
	expect(true, false,
	       (const char *const[]){"HTTP_PROXY=http://proxy:1",
				     "no_proxy=localhost, .annex.internal ,127.0.0.1,198.19.0.0/16,::1", "NO_PROXY=*",
				     NULL});
}

static void a_value_that_could_be_more_than_one_is_left_out(void **state)
{
	char large[PROXY_VALUE_MAX + 2];

	(void)state;
	memset(large, 'a', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	setenv("http_proxy", "http://proxy:1\nEVIL=1", 1);
	setenv("https_proxy", "http://\xff:1", 1);
	setenv("ftp_proxy", large, 1);
	setenv("all_proxy", "\t\n", 1);
	expect(true, false, (const char *const[]){NULL});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_proxy_on_the_hosts_loopback_is_at_the_hosts_name),
		cmocka_unit_test_setup(what_the_environment_says_is_found, clear),
		cmocka_unit_test_setup(the_machines_are_reached_without_a_proxy, clear),
		cmocka_unit_test_setup(a_value_that_could_be_more_than_one_is_left_out, clear),
	};

	return cmocka_run_group_tests(tests, clear, NULL);
}
