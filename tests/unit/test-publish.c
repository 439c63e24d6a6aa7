#include "test.h"

#include "network/publish.h"

#include "base/text.h"

#include <string.h>

static void a_published_port_is_read_in_all_its_spellings(void **state)
{
	static const struct {
		const char *text, *spelling;
		unsigned host, guest, count;
		int protocol;
	} rows[] = {
		{"8080:80", "8080:80", 8080, 80, 1, IPPROTO_TCP},
		{"8080", "8080:8080", 8080, 8080, 1, IPPROTO_TCP},
		{"8080/udp", "8080:8080/udp", 8080, 8080, 1, IPPROTO_UDP},
		{"8080:80/tcp", "8080:80", 8080, 80, 1, IPPROTO_TCP},
		{"5353:53/UDP", "5353:53/udp", 5353, 53, 1, IPPROTO_UDP},
		{"127.0.0.1:8080:80", "8080:80", 8080, 80, 1, IPPROTO_TCP},
		{"0.0.0.0:8080:80", "0.0.0.0:8080:80", 8080, 80, 1, IPPROTO_TCP},
		{"192.168.1.5:8080:80/udp", "192.168.1.5:8080:80/udp", 8080, 80, 1, IPPROTO_UDP},
		{"[::1]:8080:80", "[::1]:8080:80", 8080, 80, 1, IPPROTO_TCP},
		{"[0:0::]:8080:80", "[::]:8080:80", 8080, 80, 1, IPPROTO_TCP},
		{"[::1]:8080", "[::1]:8080:8080", 8080, 8080, 1, IPPROTO_TCP},
		{"8000-8010:9000-9010", "8000-8010:9000-9010", 8000, 9000, 11, IPPROTO_TCP},
		{"8000-8010", "8000-8010:8000-8010", 8000, 8000, 11, IPPROTO_TCP},
		{"8000-8000:80", "8000:80", 8000, 80, 1, IPPROTO_TCP},
		{"0:80", "0:80", 0, 80, 1, IPPROTO_TCP},
		{":80", "0:80", 0, 80, 1, IPPROTO_TCP},
		{"127.0.0.1::80", "0:80", 0, 80, 1, IPPROTO_TCP},
		{"[::1]::80-82/udp", "[::1]:0:80-82/udp", 0, 80, 3, IPPROTO_UDP},
		{"65535:65535", "65535:65535", 65535, 65535, 1, IPPROTO_TCP},
		{"1-1024", "1-1024:1-1024", 1, 1, 1024, IPPROTO_TCP},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_error struct annex_error *err = NULL;
		auto_free char *spelling = NULL;
		struct publish publish;

		assert_int_equal(publish_parse(&publish, rows[i].text, &err), 0);
		assert_int_equal(publish.host, rows[i].host);
		assert_int_equal(publish.guest, rows[i].guest);
		assert_int_equal(publish.count, rows[i].count);
		assert_int_equal(publish.protocol, rows[i].protocol);
		spelling = publish_text(&publish);
		assert_string_equal(spelling, rows[i].spelling);
	}
}

static void each_mistake_has_its_own_line_and_a_hint(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "there is no port"},
		{"/udp", "there is no port"},
		{":", "the port of the machine is missing"},
		{"8080:", "the port of the machine is missing"},
		{"0", "'0' is no port of the machine"},
		{"8080:0", "0 is no port of the machine"},
		{"http:80", "'http' is no port: 1 to 65535"},
		{"8080:http", "'http' is no port: 1 to 65535"},
		{"65536:80", "'65536' is no port"},
		{"80:-1", "'-1' is no port"},
		{"80-:80", "'80-' is no port"},
		{"+80:80", "'+80' is no port"},
		{" 80:80", "' 80' is no port"},
		{"00000000000080:80", "is no port"},
		{"8080:80/sctp", "'sctp' is no protocol"},
		{"8080:80/", "'' is no protocol"},
		{"8080:80/tcp/udp", "'tcp/udp' is no protocol"},
		{"127.0.0.1", "'127.0.0.1' is no port"},
		{"127.0.0.1:8080", "behind '127.0.0.1' there must be two ports"},
		{"localhost:8080:80", "'localhost' is no address of this host"},
		{"*:8080:80", "'*' is no address of this host"},
		{":8080:80", "'' is no address of this host"},
		{"::1:8080:80", "IPv6 addresses are in brackets"},
		{"[::1]8080:80", "there must be ']:' behind an IPv6 address"},
		{"[::1:8080:80", "there must be ']:' behind an IPv6 address"},
		{"[::1]:8080:80:90", "has too many ':'"},
		{"[::1%lo]:8080:80", "'::1%lo' is no address of this host"},
		{"[::ffff:127.0.0.1]:8080:80", "is an IPv4 address: write it as one"},
		{"224.0.0.1:8080:80", "nothing can listen at '224.0.0.1'"},
		{"255.255.255.255:8080:80", "nothing can listen at"},
		{"[ff02::1]:8080:80", "nothing can listen at"},
		{"8010-8000:80", "the range '8010-8000' ends before it begins"},
		{"0-5:80-85", "the range '0-5' begins with 0"},
		{"8000-8010:80", "'8000-8010' and '80' are not as many ports"},
		{"8000:80-90", "'8000' and '80-90' are not as many ports"},
		{"8000-8010:9000-9009", "are not as many ports"},
		{"1-2000:1-2000", "more than 1024 ports"},
		{"65535:65535-65536", "'65535-65536' is no port"},
	};
	char long_text[PUBLISH_TEXT_LIMIT + 1];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_error struct annex_error *err = NULL;
		struct publish publish;

		assert_int_equal(publish_parse(&publish, rows[i].text, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
		if (!strstr(annex_error_message(err), rows[i].says))
			print_error("'%s' says: %s\n", rows[i].text, annex_error_message(err));
		assert_non_null(strstr(annex_error_message(err), rows[i].says));
		assert_non_null(annex_error_hint(err));
	}
	memset(long_text, '1', PUBLISH_TEXT_LIMIT);
	long_text[PUBLISH_TEXT_LIMIT] = '\0';
	assert_int_equal(publish_parse(&(struct publish){0}, long_text, NULL), -1);
}

static void addresses_for_everybody_are_hinted_at_where_somebody_seems_to_want_them(void **state)
{
	auto_error struct annex_error *err = NULL;
	struct publish publish;

	(void)state;
	assert_int_equal(publish_parse(&publish, "*:80:80", &err), -1);
	assert_non_null(strstr(annex_error_hint(err), "0.0.0.0:HOST:GUEST is reachable by everybody"));
}

static struct publish parsed(const char *text)
{
	struct publish publish;

	assert_int_equal(publish_parse(&publish, text, NULL), 0);
	return publish;
}

static void ports_that_need_one_socket_collide(void **state)
{
	static const struct {
		const char *a, *b;
		bool collide;
	} rows[] = {
		{"8080:80", "8080:81", true},
		{"8080:80", "8081:80", false},
		{"8080:80", "8080:80/udp", false},
		{"8080:80", "127.0.0.2:8080:80", false},
		{"8080:80", "0.0.0.0:8080:80", true},
		{"8080:80", "[::]:8080:80", false},
		{"[::1]:8080:80", "[::]:8080:80", true},
		{"8000-8010:1-11", "8010:80", true},
		{"8000-8010:1-11", "8011:80", false},
		{"8000-8010:1-11", "7990-8000:1-11", true},
		{"0:80", "8080:80", false},
		{"0:80", "0:80", true},
		{"0:80", "0:81", false},
		{"0:80-90", "0:85", true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct publish a = parsed(rows[i].a), b = parsed(rows[i].b);

		assert_int_equal(publish_collides(&a, &b), rows[i].collide);
		assert_int_equal(publish_collides(&b, &a), rows[i].collide);
	}
}

static void what_is_left_out_of_a_pattern_stands_for_any(void **state)
{
	static const struct {
		const char *pattern, *publish;
		bool matches;
	} rows[] = {
		{"8080", "8080:80", true},
		{"8080", "8080:80/udp", true},
		{"8080", "0.0.0.0:8080:80", true},
		{"8080", "8081:8080", false},
		{"8080/tcp", "8080:80/udp", false},
		{"8080/udp", "8080:80/udp", true},
		{"8080:80", "[::1]:8080:80", true},
		{"8080:81", "8080:80", false},
		{"127.0.0.1:8080:80", "0.0.0.0:8080:80", false},
		{"0.0.0.0:8080:80", "0.0.0.0:8080:80", true},
		{"[::1]:8080", "[::1]:8080:80", true},
		{"[::1]:8080", "8080:80", false},
		{":80", "0:80", true},
		{":80", "8080:80", false},
		{"8000", "8000-8010:1-11", false},
		{"8000-8010", "8000-8010:1-11", true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct publish_pattern pattern;
		struct publish publish = parsed(rows[i].publish);

		assert_int_equal(publish_pattern_parse(&pattern, rows[i].pattern, NULL), 0);
		assert_int_equal(publish_matches(&pattern, &publish), rows[i].matches);
	}
}

static void ports_have_an_order(void **state)
{
	static const char *const sorted[] = {"0:80",       "80:1",    "80:1/udp", "127.0.0.2:80:1",
					     "[::1]:80:1", "8080:80", "8080:81"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sorted); i++) {
		for (size_t k = 0; k < COUNT_OF(sorted); k++) {
			struct publish a = parsed(sorted[i]), b = parsed(sorted[k]);
			int order = publish_compare(&a, &b);

			assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
		}
	}
}

static void a_place_is_written_as_people_do(void **state)
{
	char buffer[PUBLISH_PLACE_TEXT];
	struct publish publish = parsed("[::1]:8080:80/udp");

	(void)state;
	assert_string_equal(publish_place(buffer, &publish.address, 8081, IPPROTO_UDP), "[::1]:8081/udp");
	publish = parsed("8080:80");
	assert_string_equal(publish_place(buffer, &publish.address, publish.host, IPPROTO_TCP), "127.0.0.1:8080");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_published_port_is_read_in_all_its_spellings),
		cmocka_unit_test(each_mistake_has_its_own_line_and_a_hint),
		cmocka_unit_test(addresses_for_everybody_are_hinted_at_where_somebody_seems_to_want_them),
		cmocka_unit_test(ports_that_need_one_socket_collide),
		cmocka_unit_test(what_is_left_out_of_a_pattern_stands_for_any),
		cmocka_unit_test(ports_have_an_order),
		cmocka_unit_test(a_place_is_written_as_people_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
