#include "test.h"

#include "base/text.h"
#include "network/rule.h"

#include <arpa/inet.h>
#include <string.h>

static struct rule parse(const char *text)
{
	auto_error struct annex_error *err = NULL;
	struct rule rule = {0};

	if (rule_parse(&rule, text, &err) < 0)
		assert_string_equal(text, annex_error_message(err));
	return rule;
}

static struct packet_address address(const char *text)
{
	struct packet_address made = {.v6 = strchr(text, ':') != NULL};

	assert_int_equal(inet_pton(made.v6 ? AF_INET6 : AF_INET, text, &made.of), 1);
	return made;
}

static void every_form_has_one_spelling(void **state)
{
	static const char *const forms[][2] = {
		{"example.org", "example.org"},
		{"Example.ORG.:443", "example.org:443"},
		{"db", "db"},
		{"_x.a-b.example:1-65535", "_x.a-b.example:1-65535"},
		{"*.example.org", "*.example.org"},
		{"*.Example.org:8000-8010", "*.example.org:8000-8010"},
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1/32:53", "192.0.2.1:53"},
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.0.0.0/8:8000-8000", "10.0.0.0/8:8000"},
		{"0.0.0.0/0:443", "0.0.0.0/0:443"},
		{"2001:DB8:0::1", "2001:db8::1"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"::/0", "::/0"},
		{"[::]/0:443", "[::]/0:443"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"[2001:db8::]/32:1-2", "[2001:db8::]/32:1-2"},
		{"169.254.169.254", "169.254.169.254"},
		{"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
		{"127.example.org", "127.example.org"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(forms); i++) {
		struct rule rule = parse(forms[i][0]), again;
		auto_free char *text = rule_text(&rule), *second = NULL;

		assert_string_equal(text, forms[i][1]);
		again = parse(text);
		second = rule_text(&again);
		assert_string_equal(second, text);
	}
}

static const char *const bad[] = {
	"",
	":443",
	"example.org:",
	"example.org:0",
	"example.org:65536",
	"example.org:+1",
	"example.org:http",
	"example.org:2-1",
	"example.org:1-",
	"example.org:-1",
	"example.org:1-2-3",
	"example.org:99999999-3",
	"*",
	"*:443",
	"*.",
	"*.*.org",
	"a*.org",
	"ex ample.org",
	"-a.org",
	"a-.org",
	"a..org",
	".org",
	"ä.org",
	"https://example.org",
	"https://example.org:443/",
	"example.org/24",
	"user@example.org",
	"1.2.3",
	"256.1.1.1",
	"1.2.3.4.5",
	"0x7f.1",
	"0x7f000001",
	"2130706433",
	"010.0.0.1",
	"10.0.0.0/33",
	"10.0.0.0/",
	"10.0.0.0/+8",
	"10.0.0.0/08",
	"10.1.2.3/8",
	"10.0.0.0/8/8",
	"2001:db8::1/32",
	"2001:db8::/129",
	"2001:db8:::1",
	"[2001:db8::1",
	"[2001:db8::1]443",
	"[10.0.0.1]:80",
	"[example.org]:80",
	"[fe80::1%eth0]:1",
	"2001:db8::1%eth0",
	"[]",
	"[]:1",
	"[::]/0:",
	"annex.internal",
	"dev.annex.internal:22",
	"*.annex.internal",
	"host.annex.internal.",
	"localhost",
	"x.localhost:1",
	/* never reachable */
	"127.0.0.1",
	"127.88.3.7:80",
	"127.0.0.0/9",
	"0.0.0.0",
	"0.0.0.0/8",
	"224.0.0.1",
	"255.255.255.255",
	"240.0.0.0/4",
	"198.19.255.1",
	"::1",
	"::",
	"::ffff:10.0.0.1",
	"::ffff:127.0.0.1",
	"64:ff9b::127.0.0.1",
	"2002:7f00:1::",
	"2002:7f00:1::/48",
	"fe80::1",
	"ff02::1",
	"fd61:6e6e:6578::ff01",
	"2001:0:0:0:0:0:80ff:fffe",
};

static void what_is_none_is_refused_with_the_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		auto_error struct annex_error *err = NULL;
		struct rule rule;

		if (rule_parse(&rule, bad[i], &err) == 0)
			assert_string_equal(bad[i], "refused");
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		assert_non_null(annex_error_hint(err));
	}
}

static void names_are_as_long_as_dns_has_them(void **state)
{
	char longest[400];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 60; i < sizeof(longest); i += 61)
		longest[i] = '.';
	for (size_t size = 200; size < sizeof(longest); size++) {
		auto_error struct annex_error *err = NULL;
		struct rule rule;
		char text[sizeof(longest)];

		if (longest[size - 1] == '.')
			continue;
		memcpy(text, longest, size);
		text[size] = '\0';
		assert_int_equal(rule_parse(&rule, text, &err), size <= RULE_NAME_LIMIT ? 0 : -1);
	}
}

static void a_rule_has_its_names_and_no_others(void **state)
{
	struct rule name = parse("example.org"), below = parse("*.example.org"), network = parse("10.0.0.0/8");

	(void)state;
	assert_true(rule_has_name(&name, "example.org"));
	assert_false(rule_has_name(&name, "www.example.org"));
	assert_false(rule_has_name(&name, "example.or"));
	assert_true(rule_has_name(&below, "www.example.org"));
	assert_true(rule_has_name(&below, "a.b.example.org"));
	assert_false(rule_has_name(&below, "example.org"));
	assert_false(rule_has_name(&below, "badexample.org"));
	assert_false(rule_has_name(&below, ".example.orgx"));
	assert_false(rule_has_name(&network, ""));
}

static void a_rule_has_its_addresses_and_ports(void **state)
{
	struct rule v4 = parse("10.16.0.0/12:80-90"), v6 = parse("[2001:db8:8000::]/33"), all = parse("0.0.0.0/0");
	struct packet_address in = address("10.31.255.255"), out = address("10.32.0.0");
	struct packet_address in6 = address("2001:db8:ffff::1"), out6 = address("2001:db8:7fff::1");

	(void)state;
	assert_true(rule_has_address(&v4, &in));
	assert_false(rule_has_address(&v4, &out));
	assert_true(rule_has_address(&v6, &in6));
	assert_false(rule_has_address(&v6, &out6));
	assert_true(rule_has_address(&all, &out));
	assert_false(rule_has_address(&all, &in6));
	assert_true(rule_has_port(&v4, 80) && rule_has_port(&v4, 90) && rule_has_port(&v6, 1));
	assert_false(rule_has_port(&v4, 79) || rule_has_port(&v4, 91));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_has_one_spelling),
		cmocka_unit_test(what_is_none_is_refused_with_the_forms),
		cmocka_unit_test(names_are_as_long_as_dns_has_them),
		cmocka_unit_test(a_rule_has_its_names_and_no_others),
		cmocka_unit_test(a_rule_has_its_addresses_and_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
