#include "test.h"

#include "network/policy.h"

#include "base/text.h"
#include "wire/message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static uint64_t now_ms;

static uint64_t clock_ms(void)
{
	return now_ms;
}

static struct policy *make(uint32_t flags, const char *const *allow, const struct local *local)
{
	struct policy_options options = {.flags = flags, .allow = allow, .local = local, .now_ms = clock_ms};
	struct policy *policy = NULL;

	now_ms = 1000000;
	assert_int_equal(policy_new(&policy, &options, NULL), 0);
	return policy;
}

static struct packet_address address(const char *text)
{
	struct packet_address made = {.v6 = strchr(text, ':') != NULL};

	assert_int_equal(inet_pton(made.v6 ? AF_INET6 : AF_INET, text, &made.of), 1);
	return made;
}

enum { SYN = 0x02, ACK = 0x10, FIN = 0x01 };

static bool tcp(struct policy *policy, const char *to, uint16_t port, uint8_t flags)
{
	uint8_t header[20] = {[12] = 0x50, [13] = flags};
	struct packet packet = {.is_ip = true,
				.protocol = IPPROTO_TCP,
				.destination = address(to),
				.destination_port = port,
				.payload = header,
				.payload_size = sizeof(header)};

	return policy_allows(policy, &packet);
}

static bool udp(struct policy *policy, const char *to, uint16_t port)
{
	struct packet packet = {.is_ip = true,
				.protocol = IPPROTO_UDP,
				.destination = address(to),
				.destination_port = port,
				.payload = (const uint8_t *)"x",
				.payload_size = 1};

	return policy_allows(policy, &packet);
}

static bool echo(struct policy *policy, const char *to)
{
	bool v6 = strchr(to, ':');
	uint8_t bytes[8] = {v6 ? 128 : 8};
	struct packet packet = {.is_ip = true,
				.protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
				.destination = address(to),
				.payload = bytes,
				.payload_size = sizeof(bytes)};

	return policy_allows(policy, &packet);
}

static void learn(struct policy *policy, const char *name, const char *to, uint32_t ttl)
{
	struct packet_address made = address(to);

	policy_learn(policy, name, &made, ttl);
}

static const char *const never[] = {
	"0.0.0.0",
	"0.1.2.3",
	"127.0.0.1",
	"127.88.3.7",
	"127.255.255.255",
	"224.0.0.1",
	"239.255.255.250",
	"240.0.0.1",
	"255.255.255.255",
	"198.19.255.1",
	"198.19.3.7",
	"::",
	"::1",
	"::127.0.0.1",
	"::8.8.8.8",
	"::ffff:127.0.0.1",
	"::ffff:8.8.8.8",
	"::ffff:0:127.0.0.1",
	"64:ff9b::127.0.0.1",
	"64:ff9b::0.0.0.0",
	"64:ff9b:1::127.0.0.1",
	"64:ff9b::224.0.0.1",
	"2002:7f00:1::1",
	"2002:e000:1::",
	"2001::80ff:fffe",
	"fe80::1",
	"febf::1",
	"ff02::1",
	"ff0e::1",
	"fd61:6e6e:6578::ff01",
};

static const char *const outside[] = {
	"8.8.8.8", "10.1.2.3",         "192.168.1.1",     "172.17.0.2",         "198.18.0.1",
	"1.0.0.1", "223.255.255.255",  "126.0.0.1",       "128.0.0.1",          "2606:4700::1111",
	"fd00::1", "64:ff9b::8.8.8.8", "2002:808:808::1", "fd61:6e6e:6578:1::1"};

static const char *const hosts[] = {"169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200",
				    "192.0.0.192",     "fd00:ec2::254", "fd20:ce::254",  "64:ff9b::169.254.169.254"};

static void nobody_reaches_loopback_in_any_form(void **state)
{
	static const char *const all[] = {"0.0.0.0/0", "::/0", NULL};
	static const uint32_t flags[] = {0, NETWORK_HOST_ACCESS, NETWORK_ISOLATED,
					 NETWORK_ISOLATED | NETWORK_HOST_ACCESS};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(flags); i++) {
		auto_policy struct policy *policy = make(flags[i], all, NULL);

		for (size_t j = 0; j < COUNT_OF(never); j++) {
			assert_false(tcp(policy, never[j], 22, SYN));
			assert_false(udp(policy, never[j], 53));
			assert_false(echo(policy, never[j]));
		}
		for (size_t j = 0; j < COUNT_OF(outside); j++) {
			assert_true(tcp(policy, outside[j], 22, SYN));
			assert_true(udp(policy, outside[j], 53));
			assert_true(echo(policy, outside[j]));
		}
		for (size_t j = 0; j < COUNT_OF(hosts); j++)
			assert_int_equal(tcp(policy, hosts[j], 80, SYN), flags[i] == NETWORK_HOST_ACCESS);
	}
}

static void what_the_hosts_cloud_tells_takes_a_rule_of_its_own_when_isolated(void **state)
{
	static const char *const allow[] = {"169.254.169.254:80", "fd00:ec2::254", NULL};
	static const char *const wider[] = {"168.0.0.0/8", "fd00::/8", NULL};
	auto_policy struct policy *policy = make(NETWORK_ISOLATED, allow, NULL);
	auto_policy struct policy *other = make(NETWORK_ISOLATED, wider, NULL);

	(void)state;
	assert_true(tcp(policy, "169.254.169.254", 80, SYN));
	assert_false(tcp(policy, "169.254.169.254", 81, SYN));
	assert_false(tcp(policy, "169.254.169.253", 80, SYN));
	assert_true(tcp(policy, "fd00:ec2::254", 80, SYN));
	assert_true(tcp(other, "168.63.129.17", 80, SYN));
	assert_false(tcp(other, "168.63.129.16", 80, SYN));
	assert_false(tcp(other, "fd00:ec2::254", 80, SYN));
}

static void only_what_is_known_passes(void **state)
{
	uint8_t bytes[40] = {8};
	struct packet packet = {.is_ip = true,
				.destination = address("8.8.8.8"),
				.payload = bytes,
				.payload_size = sizeof(bytes),
				.destination_port = 80};
	auto_policy struct policy *open = make(NETWORK_HOST_ACCESS, NULL, NULL);

	(void)state;
	for (unsigned protocol = 0; protocol < 256; protocol++) {
		bool known = protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP;

		packet.protocol = (uint8_t)protocol;
		assert_int_equal(policy_allows(open, &packet), known);
	}
	packet.protocol = IPPROTO_ICMP;
	for (unsigned type = 0; type < 256; type++) {
		bytes[0] = (uint8_t)type;
		assert_int_equal(policy_allows(open, &packet), type == 8);
	}
	packet.protocol = IPPROTO_TCP;
	assert_true(policy_allows(open, &packet));
	packet.has_options = true;
	assert_false(policy_allows(open, &packet));
	packet.has_options = false;
	packet.is_ip = false;
	assert_false(policy_allows(open, &packet));
}

static void parts_of_datagrams_pass_by_their_address_and_not_at_all_when_isolated(void **state)
{
	static const char *const allow[] = {"0.0.0.0/0", NULL};
	struct packet packet = {.is_ip = true,
				.is_fragment = true,
				.protocol = IPPROTO_UDP,
				.destination = address("8.8.8.8"),
				.payload = (const uint8_t *)"x",
				.payload_size = 1};
	auto_policy struct policy *open = make(0, NULL, NULL);
	auto_policy struct policy *isolated = make(NETWORK_ISOLATED, allow, NULL);

	(void)state;
	assert_true(policy_allows(open, &packet));
	assert_false(policy_allows(isolated, &packet));
	packet.is_fragment = false;
	assert_true(policy_allows(isolated, &packet));
	packet.is_fragment = true;
	packet.destination = address("127.0.0.1");
	assert_false(policy_allows(open, &packet));
}

static void isolated_is_nothing_but_the_rules(void **state)
{
	static const char *const allow[] = {"192.0.2.0/24:8000-8010", "198.51.100.7", "[2001:db8::]/32:443", NULL};
	auto_policy struct policy *none = make(NETWORK_ISOLATED, NULL, NULL);
	auto_policy struct policy *policy = make(NETWORK_ISOLATED | NETWORK_HOST_ACCESS, allow, NULL);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(outside); i++) {
		assert_false(tcp(none, outside[i], 443, SYN) || udp(none, outside[i], 53) || echo(none, outside[i]));
		assert_false(tcp(policy, outside[i], 443, SYN) || udp(policy, outside[i], 53));
	}
	assert_true(tcp(policy, "192.0.2.9", 8000, SYN) && udp(policy, "192.0.2.9", 8010));
	assert_false(tcp(policy, "192.0.2.9", 7999, SYN) || tcp(policy, "192.0.2.9", 8011, SYN));
	assert_false(tcp(policy, "192.0.2.9", 7999, ACK));
	assert_false(tcp(policy, "192.0.3.1", 8000, SYN));
	/* A rule with ports is about them only. */
	assert_false(echo(policy, "192.0.2.9"));
	assert_true(echo(policy, "198.51.100.7") && tcp(policy, "198.51.100.7", 1, SYN));
	assert_true(tcp(policy, "2001:db8::1", 443, SYN));
	assert_false(tcp(policy, "2001:db8::1", 80, SYN));
	assert_false(policy_has_host_access(policy));
}

static void names_are_permitted_whole(void **state)
{
	static const char *const allow[] = {"example.org:443", "*.example.net", "10.0.0.0/8", NULL};
	auto_policy struct policy *policy = make(NETWORK_ISOLATED, allow, NULL);
	auto_policy struct policy *open = make(0, NULL, NULL);

	(void)state;
	assert_true(policy_may_resolve(policy, "example.org") && policy_may_resolve(policy, "EXAMPLE.org."));
	assert_true(policy_may_resolve(policy, "a.b.example.net"));
	assert_false(policy_may_resolve(policy, "example.net"));
	assert_false(policy_may_resolve(policy, "www.example.org"));
	/* One label, "evil.example", before "net": no name below example.net. */
	assert_false(policy_may_resolve(policy, "evil\\.example.net"));
	assert_false(policy_may_resolve(policy, "a\\046.example.net"));
	assert_false(policy_may_resolve(policy, "a b.example.net"));
	assert_false(policy_may_resolve(policy, ".") || policy_may_resolve(policy, ""));
	assert_true(policy_may_resolve(open, "anything\\.at.all"));
}

static void an_address_of_a_permitted_name_is_permitted_with_the_rules_ports(void **state)
{
	static const char *const allow[] = {"example.org:443", "example.org:80", "*.example.org", NULL};
	auto_policy struct policy *policy = make(NETWORK_ISOLATED, allow, NULL);

	(void)state;
	assert_false(tcp(policy, "192.0.2.1", 443, SYN));
	learn(policy, "Example.org", "192.0.2.1", 60);
	assert_true(tcp(policy, "192.0.2.1", 443, SYN) && tcp(policy, "192.0.2.1", 80, SYN));
	assert_false(tcp(policy, "192.0.2.1", 22, SYN) || echo(policy, "192.0.2.1"));
	learn(policy, "www.example.org", "192.0.2.1", 60);
	assert_true(tcp(policy, "192.0.2.1", 22, SYN) && echo(policy, "192.0.2.1"));
	learn(policy, "example.net", "192.0.2.2", 60);
	assert_false(tcp(policy, "192.0.2.2", 443, SYN));
	learn(policy, "example.org", "2001:db8::1", 60);
	assert_true(udp(policy, "2001:db8::1", 443));
}

static void names_that_lead_to_the_host_teach_nothing(void **state)
{
	static const char *const allow[] = {"example.org", NULL};
	auto_policy struct policy *policy = make(NETWORK_ISOLATED, allow, NULL);
	auto_policy struct policy *open = make(0, NULL, NULL);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(never) + COUNT_OF(hosts); i++) {
		const char *text = i < COUNT_OF(never) ? never[i] : hosts[i - COUNT_OF(never)];
		struct packet_address to = address(text);

		assert_false(policy_may_answer(policy, &to));
		assert_true(policy_may_answer(open, &to));
		learn(policy, "example.org", text, 60);
		assert_false(tcp(policy, text, 80, SYN));
	}
}

static void when_its_ttl_ends_flows_go_on_and_none_begin(void **state)
{
	static const char *const allow[] = {"example.org", NULL};
	auto_policy struct policy *policy = make(NETWORK_ISOLATED, allow, NULL);

	(void)state;
	learn(policy, "example.org", "192.0.2.1", 30);
	learn(policy, "example.org", "192.0.2.2", 30);
	assert_true(tcp(policy, "192.0.2.1", 443, SYN));
	now_ms += 30000 + POLICY_GRACE_MS - 1;
	assert_true(tcp(policy, "192.0.2.1", 444, SYN));
	now_ms += 1;
	assert_false(tcp(policy, "192.0.2.1", 445, SYN));
	assert_true(tcp(policy, "192.0.2.1", 443, ACK) && udp(policy, "192.0.2.1", 443));
	assert_false(echo(policy, "192.0.2.1"));
	/* To this one nothing was ever sent. */
	assert_false(tcp(policy, "192.0.2.2", 443, ACK));
	now_ms += POLICY_UDP_IDLE_MS + 1;
	assert_false(udp(policy, "192.0.2.1", 443));
	assert_true(tcp(policy, "192.0.2.1", 443, ACK));
	for (unsigned i = 0; i < 11; i++) {
		now_ms += POLICY_TCP_IDLE_MS;
		assert_true(tcp(policy, "192.0.2.1", 443, ACK));
	}
	/* Not for ever. */
	now_ms += POLICY_TCP_IDLE_MS;
	assert_false(tcp(policy, "192.0.2.1", 443, ACK));
	learn(policy, "example.org", "192.0.2.1", 30);
	assert_true(tcp(policy, "192.0.2.1", 443, SYN));
	now_ms += 30000 + POLICY_GRACE_MS + POLICY_TCP_IDLE_MS + 1;
	assert_false(tcp(policy, "192.0.2.1", 443, ACK));
}

static void the_table_is_bounded_and_what_is_used_stays(void **state)
{
	static const char *const allow[] = {"*.example.org", NULL};
	auto_policy struct policy *policy = make(NETWORK_ISOLATED, allow, NULL);
	char text[INET_ADDRSTRLEN];

	(void)state;
	learn(policy, "a.example.org", "192.0.2.1", 60);
	for (unsigned i = 0; i < 3 * POLICY_LEARNED_LIMIT; i++) {
		snprintf(text, sizeof(text), "10.1.%u.%u", i / 256, i % 256);
		learn(policy, "b.example.org", text, 60);
		assert_true(tcp(policy, text, 443, SYN));
		now_ms += 100;
		assert_true(tcp(policy, "192.0.2.1", 443, ACK));
	}
	assert_true(tcp(policy, text, 443, SYN));
	assert_false(tcp(policy, "10.1.0.0", 443, ACK));
}

static void rules_change_without_cutting_what_stays_permitted(void **state)
{
	static const char *const before[] = {"example.org:443", "example.net", NULL};
	static const char *const after[] = {"10.0.0.0/8", "example.net", NULL};
	static const char *const bad[] = {"a b", NULL};
	auto_policy struct policy *policy = make(NETWORK_ISOLATED, before, NULL);

	(void)state;
	learn(policy, "example.org", "192.0.2.1", 60);
	learn(policy, "example.net", "192.0.2.2", 60);
	assert_int_equal(policy_update(policy, NETWORK_ISOLATED, bad, NULL), -1);
	assert_true(tcp(policy, "192.0.2.1", 443, SYN) && tcp(policy, "192.0.2.2", 443, SYN));
	assert_int_equal(policy_update(policy, NETWORK_ISOLATED, after, NULL), 0);
	assert_false(tcp(policy, "192.0.2.1", 443, SYN));
	assert_true(tcp(policy, "192.0.2.2", 443, SYN) && tcp(policy, "10.1.1.1", 443, SYN));
	assert_int_equal(policy_update(policy, NETWORK_ISOLATED, NULL, NULL), 0);
	assert_false(tcp(policy, "192.0.2.2", 443, ACK) || tcp(policy, "10.1.1.1", 443, SYN));
	assert_int_equal(policy_update(policy, NETWORK_HOST_ACCESS, NULL, NULL), 0);
	assert_true(policy_has_host_access(policy) && tcp(policy, "192.0.2.2", 443, SYN));
}

/* An address of this host that is not loopback. */
static bool find_own(char text[INET_ADDRSTRLEN])
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)}, from;
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(from);

	to.sin_addr = address("192.0.2.99").of.v4;
	return fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&to, sizeof(to)) == 0 &&
	       getsockname(fd, (struct sockaddr *)(void *)&from, &size) == 0 &&
	       inet_ntop(AF_INET, &from.sin_addr, text, INET_ADDRSTRLEN);
}

static void the_hosts_own_address_takes_host_access(void **state)
{
	static const char *const allow[] = {"0.0.0.0/0", "example.org", NULL};
	auto_loop struct loop *loop = NULL;
	auto_local struct local *local = NULL;
	auto_policy struct policy *open = NULL, *closed = NULL, *isolated = NULL;
	char own[INET_ADDRSTRLEN], nat64[INET6_ADDRSTRLEN];
	struct packet_address made;

	(void)state;
	if (!find_own(own))
		skip();
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(local_new(&local, loop, NULL), 0);
	open = make(NETWORK_HOST_ACCESS, NULL, local);
	closed = make(0, NULL, local);
	isolated = make(NETWORK_ISOLATED | NETWORK_HOST_ACCESS, allow, local);
	snprintf(nat64, sizeof(nat64), "64:ff9b::%s", own);
	assert_true(tcp(open, own, 22, SYN) && tcp(open, nat64, 22, SYN));
	assert_false(tcp(closed, own, 22, SYN) || tcp(closed, nat64, 22, SYN) || echo(closed, own));
	assert_true(tcp(closed, "203.0.113.1", 22, SYN));
	assert_false(tcp(isolated, own, 22, SYN));
	learn(isolated, "example.org", own, 60);
	assert_false(tcp(isolated, own, 22, SYN));
	made = address(own);
	assert_false(policy_may_answer(isolated, &made));
	assert_true(tcp(isolated, "203.0.113.1", 22, SYN));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_reaches_loopback_in_any_form),
		cmocka_unit_test(what_the_hosts_cloud_tells_takes_a_rule_of_its_own_when_isolated),
		cmocka_unit_test(only_what_is_known_passes),
		cmocka_unit_test(parts_of_datagrams_pass_by_their_address_and_not_at_all_when_isolated),
		cmocka_unit_test(isolated_is_nothing_but_the_rules),
		cmocka_unit_test(names_are_permitted_whole),
		cmocka_unit_test(an_address_of_a_permitted_name_is_permitted_with_the_rules_ports),
		cmocka_unit_test(names_that_lead_to_the_host_teach_nothing),
		cmocka_unit_test(when_its_ttl_ends_flows_go_on_and_none_begin),
		cmocka_unit_test(the_table_is_bounded_and_what_is_used_stays),
		cmocka_unit_test(rules_change_without_cutting_what_stays_permitted),
		cmocka_unit_test(the_hosts_own_address_takes_host_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
