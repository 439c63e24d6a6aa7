#include "test.h"

#include "dns-samples.h"

#include "network/address.h"

/* What the resolver knows itself: there is no other here to ask. */
struct fixture {
	struct loop *loop;
	struct policy *policy;
	struct dns *dns;
	struct text said;
	unsigned replies;
	uint64_t from;
};

static void on_reply(uint64_t from, const uint8_t *message, size_t size, void *data)
{
	struct fixture *fixture = data;

	fixture->from = from;
	fixture->replies++;
	describe(&fixture->said, message, size);
}

static bool find(uint32_t *ret, const char *name, void *data)
{
	(void)data;
	*ret = 0x309;
	return strcmp(name, "db") == 0;
}

static bool name_of(char ret[DNS_NAME_SIZE], uint32_t place, void *data)
{
	(void)data;
	memcpy(ret, "db", 3);
	return place == 0x309;
}

static void open_dns(struct fixture *fixture, uint32_t flags, const char *const *allow)
{
	static const char *const hosts[] = {
		"127.0.0.1 localhost",
		"127.0.1.1\tLaptop.example laptop",
		"::1 localhost ip6-localhost laptop",
		"192.0.2.7 nas NAS.lan # the attic",
		"2001:db8::7 nas",
		"192.0.2.8 nas",
		"127.88.3.9 db.annex.internal db",
		"127.88.9.9 gone",
		"0.0.0.0 ads.example",
		"nonsense nonsense",
		"192.0.2.300 bad",
		"fe80::1%eth0 scoped",
		"",
		NULL,
	};
	static const struct message_network_resolve resolve = {.hosts = hosts};
	struct policy_options policy = {.flags = flags, .allow = allow};
	struct dns_options options = {
		.name = "dev", .place = 0x307, .find = find, .name_of = name_of, .reply = on_reply, .data = fixture};

	assert_int_equal(loop_new(&fixture->loop), 0);
	assert_int_equal(policy_new(&fixture->policy, &policy, NULL), 0);
	options.policy = fixture->policy;
	assert_int_equal(dns_new(&fixture->dns, fixture->loop, &options, NULL), 0);
	assert_int_equal(dns_set_upstream(fixture->dns, &resolve), 0);
}

static void close_dns(struct fixture *fixture)
{
	dns_free(fixture->dns);
	policy_free(fixture->policy);
	loop_free(fixture->loop);
	text_clear(&fixture->said);
	*fixture = (struct fixture){0};
}

static const char *ask(struct fixture *fixture, const char *name, unsigned type)
{
	uint8_t message[1024];
	size_t size = write_question(message, 77, name, type, 0);
	unsigned before = fixture->replies;

	dns_query(fixture->dns, message, size, 42);
	assert_int_equal(fixture->replies, before + 1);
	assert_int_equal(fixture->from, 42);
	return fixture->said.data;
}

#define SAYS_SERVFAIL "2:"
#define SAYS_NXDOMAIN "3:"
#define SAYS_NODATA   "0:"
#define SAYS_REFUSED  "5:"

static void machines_have_names_and_addresses_have_machines(void **state)
{
	struct fixture fixture = {0};

	(void)state;
	open_dns(&fixture, NETWORK_HOST_ACCESS, NULL);
	assert_string_equal(ask(&fixture, "db.annex.internal", ns_t_a), "0: db.annex.internal 198.19.3.9");
	assert_string_equal(ask(&fixture, "DB.Annex.Internal", ns_t_aaaa), "0: DB.Annex.Internal fd61:6e6e:6578::309");
	assert_string_equal(ask(&fixture, "dev.annex.internal", ns_t_a), "0: dev.annex.internal 198.19.3.7");
	assert_string_equal(ask(&fixture, "dev", ns_t_a), "0: dev 198.19.3.7");
	assert_string_equal(ask(&fixture, "host.annex.internal", ns_t_a), "0: host.annex.internal 198.19.255.1");
	assert_string_equal(ask(&fixture, "host.annex.internal", ns_t_aaaa), SAYS_NODATA);
	assert_string_equal(ask(&fixture, "db.annex.internal", ns_t_mx), SAYS_NODATA);
	assert_string_equal(ask(&fixture, "none.annex.internal", ns_t_a), SAYS_NXDOMAIN);
	assert_string_equal(ask(&fixture, "a.db.annex.internal", ns_t_a), SAYS_NXDOMAIN);
	assert_string_equal(ask(&fixture, "d\\.b.annex.internal", ns_t_a), SAYS_NXDOMAIN);
	assert_string_equal(ask(&fixture, "annex.internal", ns_t_a), SAYS_NODATA);
	assert_string_equal(ask(&fixture, "xannex.internal", ns_t_a), SAYS_SERVFAIL);

	assert_string_equal(ask(&fixture, "9.3.19.198.in-addr.arpa", ns_t_ptr),
			    "0: 9.3.19.198.in-addr.arpa db.annex.internal");
	assert_string_equal(ask(&fixture, "1.255.19.198.in-addr.arpa", ns_t_ptr),
			    "0: 1.255.19.198.in-addr.arpa host.annex.internal");
	assert_string_equal(ask(&fixture, "8.3.19.198.in-addr.arpa", ns_t_ptr), SAYS_NXDOMAIN);
	assert_string_equal(ask(&fixture, "3.19.198.in-addr.arpa", ns_t_ptr), SAYS_NODATA);
	assert_string_equal(ask(&fixture, "7.3.18.198.in-addr.arpa", ns_t_ptr), SAYS_SERVFAIL);
	assert_string_equal(
		ask(&fixture, "9.0.3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.7.5.6.e.6.e.6.1.6.d.f.ip6.arpa", ns_t_ptr),
		"0: 9.0.3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.7.5.6.e.6.e.6.1.6.d.f.ip6.arpa db.annex.internal");
	assert_string_equal(ask(&fixture, "0.0.0.0.8.7.5.6.E.6.e.6.1.6.d.f.ip6.arpa", ns_t_ptr), SAYS_NODATA);
	close_dns(&fixture);
}

static void names_of_the_hosts_file_lead_where_they_mean_from_inside(void **state)
{
	struct fixture fixture = {0};

	(void)state;
	open_dns(&fixture, NETWORK_HOST_ACCESS, NULL);
	assert_string_equal(ask(&fixture, "nas", ns_t_a), "0: nas 192.0.2.7 nas 192.0.2.8");
	assert_string_equal(ask(&fixture, "nas.LAN", ns_t_a), "0: nas.LAN 192.0.2.7");
	assert_string_equal(ask(&fixture, "nas", ns_t_aaaa), "0: nas 2001:db8::7");
	assert_string_equal(ask(&fixture, "nas.lan", ns_t_aaaa), SAYS_NODATA);
	assert_string_equal(ask(&fixture, "laptop.example", ns_t_a), "0: laptop.example 198.19.255.1");
	assert_string_equal(ask(&fixture, "laptop", ns_t_aaaa), SAYS_NODATA);
	assert_string_equal(ask(&fixture, "localhost", ns_t_a), "0: localhost 127.0.0.1");
	assert_string_equal(ask(&fixture, "a.localhost", ns_t_aaaa), "0: a.localhost ::1");
	assert_string_equal(ask(&fixture, "db", ns_t_a), "0: db 198.19.3.9");
	assert_string_equal(ask(&fixture, "ads.example", ns_t_a), "0: ads.example 0.0.0.0");
	/* Nobody here knows these. */
	assert_string_equal(ask(&fixture, "gone", ns_t_a), SAYS_SERVFAIL);
	assert_string_equal(ask(&fixture, "ip6-localhost", ns_t_aaaa), SAYS_SERVFAIL);
	assert_string_equal(ask(&fixture, "bad", ns_t_a), SAYS_SERVFAIL);
	assert_string_equal(ask(&fixture, "scoped", ns_t_aaaa), SAYS_SERVFAIL);
	assert_string_equal(ask(&fixture, "na", ns_t_a), SAYS_SERVFAIL);
	close_dns(&fixture);
}

static void without_host_access_nothing_leads_to_the_host(void **state)
{
	struct fixture fixture = {0};

	(void)state;
	open_dns(&fixture, 0, NULL);
	assert_string_equal(ask(&fixture, "host.annex.internal", ns_t_a), SAYS_NXDOMAIN);
	assert_string_equal(ask(&fixture, "1.255.19.198.in-addr.arpa", ns_t_ptr), SAYS_NXDOMAIN);
	assert_string_equal(ask(&fixture, "laptop.example", ns_t_a), SAYS_SERVFAIL);
	assert_string_equal(ask(&fixture, "db.annex.internal", ns_t_a), "0: db.annex.internal 198.19.3.9");
	close_dns(&fixture);
}

static void an_isolated_machine_asks_only_what_it_may(void **state)
{
	static const char *const allow[] = {"nas:80", "ads.example", "laptop", NULL};
	uint8_t header[20] = {[12] = 0x50, [13] = 2};
	struct packet packet = {.is_ip = true,
				.protocol = IPPROTO_TCP,
				.destination_port = 80,
				.payload = header,
				.payload_size = sizeof(header)};
	struct fixture fixture = {0};

	(void)state;
	open_dns(&fixture, NETWORK_ISOLATED | NETWORK_HOST_ACCESS, allow);
	assert_int_equal(inet_pton(AF_INET, "192.0.2.7", &packet.destination.of.v4), 1);
	assert_false(policy_allows(fixture.policy, &packet));
	assert_string_equal(ask(&fixture, "nas", ns_t_a), "0: nas 192.0.2.7 nas 192.0.2.8");
	assert_true(policy_allows(fixture.policy, &packet));
	packet.destination_port = 81;
	assert_false(policy_allows(fixture.policy, &packet));
	assert_string_equal(ask(&fixture, "nas.lan", ns_t_a), SAYS_REFUSED);
	assert_string_equal(ask(&fixture, "nas", ns_t_any), SAYS_REFUSED);
	/* These lead to nowhere that it may go; the host's resolvers would be asked, if there were some. */
	assert_string_equal(ask(&fixture, "ads.example", ns_t_a), SAYS_SERVFAIL);
	assert_string_equal(ask(&fixture, "laptop", ns_t_a), SAYS_SERVFAIL);
	assert_string_equal(ask(&fixture, "host.annex.internal", ns_t_a), SAYS_NXDOMAIN);
	assert_string_equal(ask(&fixture, "db.annex.internal", ns_t_a), SAYS_NXDOMAIN);
	assert_string_equal(ask(&fixture, "9.3.19.198.in-addr.arpa", ns_t_ptr), SAYS_NXDOMAIN);
	assert_string_equal(ask(&fixture, "dev.annex.internal", ns_t_a), "0: dev.annex.internal 198.19.3.7");
	assert_string_equal(ask(&fixture, "secret.tunnel.example", ns_t_txt), SAYS_REFUSED);
	close_dns(&fixture);
}

static void what_is_no_question_is_answered_as_it_deserves(void **state)
{
	struct fixture fixture = {0};
	uint8_t message[1024];
	size_t size;

	(void)state;
	open_dns(&fixture, 0, NULL);
	size = write_question(message, 1, "dev", ns_t_a, 0);
	/* Pieces of one. */
	for (size_t i = 0; i < size; i++) {
		unsigned before = fixture.replies;

		dns_query(fixture.dns, message, i, 1);
		assert_int_equal(fixture.replies, before + (i >= NS_HFIXEDSZ));
		if (i >= NS_HFIXEDSZ)
			assert_string_equal(fixture.said.data, "1:");
	}
	assert_string_equal(ask(&fixture, "dev", ns_t_axfr), SAYS_NODATA);
	assert_string_equal(ask(&fixture, "example.org", ns_t_axfr), SAYS_REFUSED);
	message[2] |= 0x28; /* UPDATE */
	dns_query(fixture.dns, message, size, 1);
	assert_string_equal(fixture.said.data, "4:");
	message[2] = 0x81; /* an answer */
	fixture.replies = 0;
	dns_query(fixture.dns, message, size, 1);
	assert_int_equal(fixture.replies, 0);
	message[2] = 0x01;
	message[5] = 2; /* questions */
	dns_query(fixture.dns, message, size, 1);
	assert_string_equal(fixture.said.data, "1:");
	close_dns(&fixture);
}

static void many_addresses_of_one_name_are_truncated_in_a_small_datagram(void **state)
{
	char lines[40][32];
	const char *hosts[41] = {0};
	struct message_network_resolve resolve = {.hosts = hosts};
	struct fixture fixture = {0};
	uint8_t message[1024];
	size_t size;

	(void)state;
	open_dns(&fixture, 0, NULL);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(lines[i], sizeof(lines[i]), "10.0.0.%u many", i);
		hosts[i] = lines[i];
	}
	assert_int_equal(dns_set_upstream(fixture.dns, &resolve), 0);
	assert_true(text_starts(ask(&fixture, "many", ns_t_a), "tc 0:"));
	size = write_question(message, 1, "many", ns_t_a, 1232);
	dns_query(fixture.dns, message, size, 1);
	assert_true(text_starts(fixture.said.data, "0: many 10.0.0.0 many 10.0.0.1 "));
	assert_true(text_ends(fixture.said.data, " many 10.0.0.39"));
	close_dns(&fixture);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(machines_have_names_and_addresses_have_machines),
		cmocka_unit_test(names_of_the_hosts_file_lead_where_they_mean_from_inside),
		cmocka_unit_test(without_host_access_nothing_leads_to_the_host),
		cmocka_unit_test(an_isolated_machine_asks_only_what_it_may),
		cmocka_unit_test(what_is_no_question_is_answered_as_it_deserves),
		cmocka_unit_test(many_addresses_of_one_name_are_truncated_in_a_small_datagram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
