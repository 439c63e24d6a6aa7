#include "test.h"

#include "supervisor/resolvconf.h"

#include <string.h>

static void expect_list(const struct text_list *list, const char *const *wanted)
{
	size_t i = 0;

	for (; wanted[i]; i++) {
		assert_true(i < list->count);
		assert_string_equal(list->items[i], wanted[i]);
	}
	assert_int_equal(list->count, i);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void expect(const char *text, const char *const *servers, const char *const *search)
{
	auto_resolvconf struct resolvconf conf = {0};

	assert_int_equal(resolvconf_parse(&conf, text), 0);
	expect_list(&conf.servers, servers);
	expect_list(&conf.search, search);
}

static void servers_are_those_that_the_resolver_would_ask(void **state)
{
	(void)state;
	expect("nameserver 192.0.2.53\n", LIST("192.0.2.53"), LIST(NULL));
	expect("# nameserver 1.1.1.1\n;nameserver 1.1.1.1\n nameserver 1.1.1.1\nnameserver\t 2001:db8::53 # mine",
	       LIST("2001:db8::53"), LIST(NULL));
	expect("nameserver fe80::1%eth0\nnameserver 127.0.0.1#5353\n", LIST("fe80::1%eth0", "127.0.0.1#5353"),
	       LIST(NULL));
	expect("nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
	       LIST("10.0.0.1", "10.0.0.2", "10.0.0.3"), LIST(NULL));
	expect("options ndots:2\nnameserver dns.example.org\nnameserver 10.0.0.1#0\nnameserver "
	       "10.0.0.2#x\nnameserver\n",
	       LIST("127.0.0.1"), LIST(NULL));
}

static void without_servers_or_a_file_it_is_this_host(void **state)
{
	(void)state;
	expect(NULL, LIST("127.0.0.1"), LIST(NULL));
	expect("", LIST("127.0.0.1"), LIST(NULL));
	expect("search lan\n", LIST("127.0.0.1"), LIST("lan"));
}

static void the_last_search_line_counts(void **state)
{
	(void)state;
	expect("domain a.example\nsearch b.example  c.example\tlan\n", LIST("127.0.0.1"),
	       LIST("b.example", "c.example", "lan"));
	expect("search a.example\ndomain b.example\n", LIST("127.0.0.1"), LIST("b.example"));
	expect("search a$b . x;y ok_1.example\n", LIST("127.0.0.1"), LIST("ok_1.example"));
}

static void hosts_are_what_says_something(void **state)
{
	auto_text_list struct text_list hosts = {0};

	(void)state;
	assert_int_equal(resolvconf_hosts(&hosts, "127.0.0.1\tlocalhost  me # both\n# 10.0.0.1 no\n\n10.0.0.2\n"
						  "host 10.0.0.3\n  ::1 ip6-localhost\nfe80::1 \xff\n10.0.0.4 last"),
			 0);
	expect_list(&hosts, LIST("127.0.0.1 localhost me", "::1 ip6-localhost", "10.0.0.4 last"));
	text_list_clear(&hosts);
	assert_int_equal(resolvconf_hosts(&hosts, NULL), 0);
	assert_int_equal(hosts.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(servers_are_those_that_the_resolver_would_ask),
		cmocka_unit_test(without_servers_or_a_file_it_is_this_host),
		cmocka_unit_test(the_last_search_line_counts),
		cmocka_unit_test(hosts_are_what_says_something),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
