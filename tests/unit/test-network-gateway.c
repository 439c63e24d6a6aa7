/* Where frames go, and which are nobody's. */
#include "test.h"

#include "frames.h"
#include "network/gateway.h"

#define MACHINE 0x307u
#define PEER    0x404u

/* What has gone anywhere, as the last of its kind. */
struct scene {
	struct gateway *gateway;
	struct uplink outside, host, services;
	unsigned delivered, passed, resolved, to_outside, to_host, to_services, settled, held;
	bool allowed, no_route6;
	uint64_t from;
	uint8_t frame[PACKET_MAX];
	size_t size;
	uint8_t in[PACKET_MAX];
};

static struct scene *scene; /* of the test that runs */

static void deliver(const uint8_t *header, size_t header_size, const uint8_t *rest, size_t size, void *data)
{
	(void)data;
	memcpy(scene->frame, header, header_size);
	if (size > 0)
		memcpy(scene->frame + header_size, rest, size);
	scene->size = header_size + size;
	scene->delivered++;
}

static bool allows(const struct packet *packet, void *data)
{
	(void)packet, (void)data;
	return scene->allowed;
}

static void resolve(const uint8_t *message, size_t size, uint64_t from, void *data)
{
	(void)data;
	scene->resolved++;
	scene->from = from;
	gateway_reply(scene->gateway, message, size, from);
}

static bool has(uint32_t place, void *data)
{
	(void)data;
	return place == PEER;
}

static void pass(const struct packet *packet, void *data)
{
	(void)packet, (void)data;
	scene->passed++;
}

static bool carries6(void *data)
{
	(void)data;
	return !scene->no_route6;
}

static const struct gateway_ways ways = {
	.carries6 = carries6, .deliver = deliver, .allows = allows, .resolve = resolve, .has = has, .pass = pass};

static void take(struct uplink *uplink, const struct packet *packet)
{
	(void)packet;
	scene->to_outside += uplink == &scene->outside;
	scene->to_host += uplink == &scene->host;
	scene->to_services += uplink == &scene->services;
}

static void settle(struct uplink *uplink)
{
	(void)uplink;
	scene->settled++;
}

static void hold(struct uplink *uplink, bool held)
{
	(void)uplink;
	scene->held += held;
}

static const struct uplink_type type = {.send = take, .settle = settle, .hold = hold};

static int set_up(void **state)
{
	const struct gateway_options options = {.place = MACHINE, .host_access = true, .ways = &ways};

	scene = calloc(1, sizeof(*scene));
	assert_non_null(scene);
	scene->allowed = true;
	scene->outside.type = scene->host.type = scene->services.type = &type;
	assert_int_equal(gateway_new(&scene->gateway, &options, NULL), 0);
	gateway_set_outside(scene->gateway, &scene->outside);
	gateway_set_host(scene->gateway, &scene->host, &scene->services);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	gateway_free(scene->gateway);
	free(scene);
	return 0;
}

/* A datagram of the machine. */
static size_t datagram(const char *source, const char *destination, uint16_t port)
{
	return frames_udp(scene->in, MACHINE, source, destination, port, "0123456789abcdef");
}

static void take_in(size_t size)
{
	gateway_take(scene->gateway, scene->in, size);
}

/* The same as a TCP segment with these flags. */
static void segment(const char *source, const char *destination, uint16_t port, uint8_t flags)
{
	size_t size = datagram(source, destination, port);
	bool v6 = strchr(source, ':') != NULL;

	scene->in[PACKET_ETHERNET + (v6 ? 6 : 9)] = IPPROTO_TCP;
	memcpy(scene->in + PACKET_ETHERNET + (v6 ? 40 : 20) + 12, (const uint8_t[]){0x50, flags}, 2);
	take_in(size);
}

static void told(struct packet *ret)
{
	uint8_t own[6];

	place_hardware(own, MACHINE);
	assert_true(packet_parse(ret, scene->frame, scene->size));
	assert_memory_equal(ret->to, own, 6);
}

static void datagrams_go_where_their_destination_is(void **state)
{
	(void)state;
	take_in(datagram("198.19.3.7", "192.0.2.1", 53));
	take_in(datagram("fd61:6e6e:6578::307", "2001:db8::1", 53));
	assert_int_equal(scene->to_outside, 2);
	take_in(datagram("198.19.3.7", "198.19.255.1", 80));
	take_in(datagram("fd61:6e6e:6578::307", "fd61:6e6e:6578::ff01", 80));
	assert_int_equal(scene->to_host, 2);
	segment("198.19.3.7", "198.19.255.53", 53, 2);
	assert_int_equal(scene->to_services, 1);
	assert_int_equal(scene->delivered, 0);
	gateway_settle(scene->gateway);
	assert_int_equal(scene->settled, 3);
}

static void what_the_uplink_does_not_carry_is_left_to_who_refuses_it(void **state)
{
	(void)state;
	scene->no_route6 = true;
	take_in(datagram("fd61:6e6e:6578::307", "2001:db8::1", 53));
	take_in(datagram("198.19.3.7", "192.0.2.1", 53));
	assert_int_equal(scene->to_services, 1);
	assert_int_equal(scene->to_outside, 1);
}

static void foreign_sources_go_nowhere(void **state)
{
	static const char *const foreign[] = {
		"198.19.3.8",           "10.0.0.1", "0.0.0.0", "127.0.0.1",  "198.19.255.1", "fd61:6e6e:6578::308",
		"fd61:6e6e:6578::ff01", "fe80::1",  "::",      "2001:db8::7"};
	size_t size;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(foreign); i++) {
		bool v6 = strchr(foreign[i], ':') != NULL;

		take_in(datagram(foreign[i], v6 ? "2001:db8::1" : "192.0.2.1", 53));
		take_in(datagram(foreign[i], v6 ? "fd61:6e6e:6578::ff35" : "198.19.255.53", 53));
		take_in(datagram(foreign[i], v6 ? "fd61:6e6e:6578::404" : "198.19.4.4", 53));
	}
	size = datagram("198.19.3.7", "192.0.2.1", 53);
	scene->in[11] ^= 1; /* the hardware address */
	take_in(size);
	assert_int_equal(scene->to_outside + scene->to_host + scene->passed + scene->resolved + scene->delivered, 0);
}

static void what_is_for_many_goes_nowhere(void **state)
{
	(void)state;
	take_in(datagram("198.19.3.7", "224.0.0.251", 5353));
	take_in(datagram("198.19.3.7", "255.255.255.255", 67));
	take_in(datagram("198.19.3.7", "0.0.0.0", 67));
	take_in(datagram("198.19.3.7", "198.19.255.255", 67));
	take_in(datagram("198.19.3.7", "198.19.0.0", 67));
	take_in(datagram("fd61:6e6e:6578::307", "ff02::fb", 5353));
	assert_int_equal(scene->to_outside + scene->to_host + scene->passed + scene->resolved + scene->delivered, 0);
}

static void what_is_not_allowed_is_told_so(void **state)
{
	struct packet packet;

	(void)state;
	scene->allowed = false;
	take_in(datagram("198.19.3.7", "192.0.2.1", 53));
	assert_int_equal(scene->to_outside, 0);
	told(&packet);
	assert_int_equal(packet.protocol, IPPROTO_ICMP);
	assert_int_equal(packet.payload[0], 3);
	take_in(datagram("fd61:6e6e:6578::307", "2001:db8::1", 53));
	told(&packet);
	assert_int_equal(packet.protocol, IPPROTO_ICMPV6);
	assert_int_equal(packet.payload[0], 1);
}

static void a_router_without_host_access_refuses(void **state)
{
	struct packet packet;

	(void)state;
	gateway_set_host_access(scene->gateway, false);
	segment("198.19.3.7", "198.19.255.1", 80, 2);
	told(&packet);
	assert_int_equal(packet.protocol, IPPROTO_TCP);
	assert_int_equal(packet.payload[13], 4 | 16);
	take_in(datagram("198.19.3.7", "198.19.255.1", 80));
	told(&packet);
	assert_int_equal(packet.protocol, IPPROTO_ICMP);
	assert_int_equal(scene->to_host, 0);
}

static void without_a_way_of_its_own_the_host_is_reached_by_the_uplink(void **state)
{
	(void)state;
	gateway_set_host(scene->gateway, NULL, &scene->services);
	segment("198.19.3.7", "198.19.255.1", 80, 2);
	assert_int_equal(scene->to_outside, 1);
	gateway_set_outside(scene->gateway, NULL);
	segment("198.19.3.7", "198.19.255.1", 80, 2);
	assert_int_equal(scene->delivered, 0);
	gateway_set_host_access(scene->gateway, false);
	segment("198.19.3.7", "198.19.255.1", 80, 2);
	assert_int_equal(scene->delivered, 1);
	assert_int_equal(scene->to_host, 0);
}

static void the_resolver_is_asked_and_answers_who_asked(void **state)
{
	static const char *const sources[] = {"198.19.3.7", "fd61:6e6e:6578::307"};
	static const char *const resolvers[] = {"198.19.255.53", "fd61:6e6e:6578::ff35"};
	uint8_t hardware[6];

	(void)state;
	place_hardware(hardware, PLACE_DNS);
	for (int i = 0; i < 2; i++) {
		struct packet_address source = frames_address(resolvers[i]), destination = frames_address(sources[i]);
		struct packet packet;

		take_in(datagram(sources[i], resolvers[i], 53));
		told(&packet);
		assert_memory_equal(packet.from, hardware, 6);
		assert_memory_equal(&packet.source, &source, sizeof(source));
		assert_memory_equal(&packet.destination, &destination, sizeof(destination));
		assert_int_equal(packet.source_port, 53);
		assert_int_equal(packet.destination_port, 4000);
		assert_memory_equal(packet.payload, "0123456789abcdef", 16);
	}
	take_in(datagram("198.19.3.7", "198.19.255.53", 54));
	assert_int_equal(scene->resolved, 2);
}

static void machines_that_are_there_are_reached(void **state)
{
	size_t size = datagram("198.19.3.7", "198.19.4.4", 80);
	struct packet packet;

	(void)state;
	place_hardware(scene->in, PEER);
	take_in(size);
	assert_int_equal(scene->passed, 1);
	/* Not by somebody else's hardware address. */
	place_hardware(scene->in, 0x405);
	take_in(size);
	assert_int_equal(scene->passed, 1);
	take_in(datagram("198.19.3.7", "198.19.4.5", 80));
	told(&packet);
	assert_int_equal(packet.payload[0], 3);
}

static void who_is_there_is_told(void **state)
{
	static const struct {
		const char *target;
		uint32_t place;
	} questions[] = {{"198.19.255.1", PLACE_GATEWAY},
			 {"198.19.255.53", PLACE_DNS},
			 {"198.19.4.4", PEER},
			 {"198.19.4.5", 0},
			 {"198.19.3.7", 0},
			 {"192.0.2.1", 0}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(questions); i++) {
		uint8_t expected[6];

		scene->delivered = 0;
		take_in(frames_arp(scene->in, MACHINE, "198.19.3.7", questions[i].target));
		assert_int_equal(scene->delivered, questions[i].place != 0);
		if (!questions[i].place)
			continue;
		place_hardware(expected, questions[i].place);
		assert_memory_equal(scene->frame + 6, expected, 6);
		assert_memory_equal(scene->frame + 22, expected, 6);
		assert_int_equal(scene->frame[21], 2);
		assert_memory_equal(scene->frame + 38, scene->in + 28, 4);
	}
}

static void solicit(const char *source, const char *target)
{
	uint8_t message[32] = {135};
	struct packet_address wanted = frames_address(target);
	struct frames_way way;

	frames_way(&way, MACHINE, source, PLACE_GATEWAY, "ff02::1:ff00:1");
	memcpy(message + 8, &wanted.of.v6_, 16);
	take_in(compose_icmp(scene->in, &way.way, message, sizeof(message)));
}

static void neighbors_are_discovered(void **state)
{
	struct packet packet;
	uint8_t expected[6];

	(void)state;
	solicit("fe80::1", "fd61:6e6e:6578::ff01");
	told(&packet);
	place_hardware(expected, PLACE_GATEWAY);
	assert_int_equal(packet.payload[0], 136);
	assert_int_equal(packet.payload[4], 0xe0);
	assert_memory_equal(packet.payload + 26, expected, 6);
	solicit("fd61:6e6e:6578::307", "fd61:6e6e:6578::404");
	told(&packet);
	assert_int_equal(packet.payload[4], 0x60);
	assert_int_equal(scene->delivered, 2);
	solicit("fe80::1", "fd61:6e6e:6578::405");
	solicit("::", "fd61:6e6e:6578::307");
	solicit("fe80::1", "2001:db8::1");
	assert_int_equal(scene->delivered, 2);
}

static void the_router_answers_pings(void **state)
{
	static const uint8_t echo[] = {8, 0, 0, 0, 1, 2, 3, 4, 'x'}, echo6[] = {128, 0, 0, 0, 1, 2, 3, 4, 'x'};
	struct frames_way way;
	struct packet packet;

	(void)state;
	frames_way(&way, MACHINE, "198.19.3.7", PLACE_GATEWAY, "198.19.255.1");
	take_in(compose_icmp(scene->in, &way.way, echo, sizeof(echo)));
	told(&packet);
	assert_int_equal(packet.payload[0], 0);
	assert_memory_equal(packet.payload + 4, echo + 4, 5);
	frames_way(&way, MACHINE, "fd61:6e6e:6578::307", PLACE_GATEWAY, "fd61:6e6e:6578::ff35");
	take_in(compose_icmp(scene->in, &way.way, echo6, sizeof(echo6)));
	told(&packet);
	assert_int_equal(packet.payload[0], 129);
	assert_memory_equal(packet.payload + 4, echo6 + 4, 5);
	assert_int_equal(scene->to_host, 0);
}

/* A frame of an uplink. */
static bool comes_in(const char *source, const char *destination)
{
	struct frames_way way;
	uint8_t frame[128];

	scene->delivered = 0;
	frames_way(&way, 0x123, source, 0x456, destination);
	gateway_give(scene->gateway, frame, compose_udp(frame, &way.way, 80, 4000, "x", 1));
	return scene->delivered > 0;
}

static void what_comes_from_outside_is_for_the_machine_and_of_no_neighbor(void **state)
{
	struct packet packet;
	uint8_t router[6];

	(void)state;
	place_hardware(router, PLACE_GATEWAY);
	assert_true(comes_in("192.0.2.1", "198.19.3.7"));
	told(&packet); /* with the machine's hardware address, and the router's */
	assert_memory_equal(packet.from, router, 6);
	assert_true(comes_in("2001:db8::1", "fd61:6e6e:6578::307"));
	assert_true(comes_in("198.19.255.1", "198.19.3.7"));
	assert_false(comes_in("192.0.2.1", "198.19.3.8"));
	assert_false(comes_in("192.0.2.1", "10.0.0.1"));
	assert_false(comes_in("198.19.4.4", "198.19.3.7"));
	assert_false(comes_in("198.19.3.7", "198.19.3.7"));
	assert_false(comes_in("127.0.0.1", "198.19.3.7"));
	assert_false(comes_in("224.0.0.1", "198.19.3.7"));
	assert_false(comes_in("fd61:6e6e:6578::404", "fd61:6e6e:6578::307"));
	assert_false(comes_in("::1", "fd61:6e6e:6578::307"));
}

static void routers_that_advertise_themselves_are_not_heard(void **state)
{
	static const uint8_t advertisement[16] = {134};
	struct frames_way way;
	uint8_t frame[128];

	(void)state;
	frames_way(&way, 0x123, "fe80::2", MACHINE, "fd61:6e6e:6578::307");
	gateway_give(scene->gateway, frame, compose_icmp(frame, &way.way, advertisement, sizeof(advertisement)));
	assert_int_equal(scene->delivered, 0);
}

static void connections_of_an_uplink_that_is_gone_are_reset(void **state)
{
	struct uplink second = {.type = &type};
	struct packet packet;

	(void)state;
	segment("198.19.3.7", "192.0.2.1", 80, 16); /* with the first uplink, nobody asks */
	assert_int_equal(scene->to_outside, 1);
	gateway_set_outside(scene->gateway, NULL);
	segment("198.19.3.7", "192.0.2.1", 80, 16);
	assert_int_equal(scene->to_outside, 1);
	assert_int_equal(scene->delivered, 0);
	gateway_set_outside(scene->gateway, &second);
	segment("198.19.3.7", "192.0.2.1", 80, 16);
	told(&packet);
	assert_int_equal(packet.protocol, IPPROTO_TCP);
	assert_int_equal(packet.payload[13], 4);
	gateway_set_outside(scene->gateway, &scene->outside);
	segment("198.19.3.7", "192.0.2.1", 80, 2); /* one that begins now */
	segment("198.19.3.7", "192.0.2.1", 80, 16);
	assert_int_equal(scene->to_outside, 3);
	assert_int_equal(scene->delivered, 1);
	take_in(datagram("198.19.3.7", "192.0.2.1", 53));
	assert_int_equal(scene->to_outside, 4);
}

static void a_reset_that_does_not_say_what_it_answers_is_mended(void **state)
{
	struct frames_way way;
	struct packet packet;
	uint8_t frame[128], *tcp = frame + PACKET_ETHERNET + 20;
	size_t size;

	(void)state;
	frames_way(&way, 0x123, "192.0.2.1", 0x456, "198.19.3.7");
	size = compose_udp(frame, &way.way, 80, 4000, "0123456789ab", 12);
	frame[PACKET_ETHERNET + 9] = IPPROTO_TCP;
	memcpy(tcp + 4, (const uint8_t[]){0, 0, 0, 0, 1, 2, 3, 4, 0x50, 4, 0, 0, 0x12, 0x34, 0, 0}, 16);
	gateway_give(scene->gateway, frame, size);
	told(&packet);
	assert_int_equal(packet.payload[13], 4 | 16);
	/* One bit more in the segment, and so much less in its checksum. */
	assert_memory_equal(packet.payload + 16, ((const uint8_t[]){0x12, 0x24}), 2);
	memset(tcp + 8, 0, 4);
	gateway_give(scene->gateway, frame, size);
	told(&packet);
	assert_int_equal(packet.payload[13], 4);
}

static void a_full_machine_holds_all_uplinks(void **state)
{
	struct uplink later = {.type = &type};

	(void)state;
	gateway_hold(scene->gateway, true);
	assert_int_equal(scene->held, 3);
	gateway_set_outside(scene->gateway, &later);
	assert_int_equal(scene->held, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(datagrams_go_where_their_destination_is),
		TEST(what_the_uplink_does_not_carry_is_left_to_who_refuses_it),
		TEST(foreign_sources_go_nowhere),
		TEST(what_is_for_many_goes_nowhere),
		TEST(what_is_not_allowed_is_told_so),
		TEST(a_router_without_host_access_refuses),
		TEST(without_a_way_of_its_own_the_host_is_reached_by_the_uplink),
		TEST(the_resolver_is_asked_and_answers_who_asked),
		TEST(machines_that_are_there_are_reached),
		TEST(who_is_there_is_told),
		TEST(neighbors_are_discovered),
		TEST(the_router_answers_pings),
		TEST(what_comes_from_outside_is_for_the_machine_and_of_no_neighbor),
		TEST(routers_that_advertise_themselves_are_not_heard),
		TEST(connections_of_an_uplink_that_is_gone_are_reset),
		TEST(a_reset_that_does_not_say_what_it_answers_is_mended),
		TEST(a_full_machine_holds_all_uplinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
