#include "test.h"

#include "frames.h"

#define MACHINE 0x307u

static uint8_t frame[PACKET_MAX];

static size_t udp4(void)
{
	return frames_udp(frame, MACHINE, "198.19.3.7", "192.0.2.1", 53, "hello");
}

static size_t udp6(void)
{
	return frames_udp(frame, MACHINE, "fd61:6e6e:6578::307", "2001:db8::1", 53, "hello");
}

static void a_datagram_is_taken_apart(void **state)
{
	struct packet packet;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		size_t size = v6 ? udp6() : udp4();
		struct packet_address expected = frames_address(v6 ? "2001:db8::1" : "192.0.2.1");

		assert_true(packet_parse(&packet, frame, size));
		assert_true(packet.is_ip && !packet.is_fragment && !packet.has_options);
		assert_int_equal(packet.protocol, IPPROTO_UDP);
		assert_int_equal(packet.source_port, 4000);
		assert_int_equal(packet.destination_port, 53);
		assert_int_equal(packet.payload_size, 5);
		assert_memory_equal(packet.payload, "hello", 5);
		assert_memory_equal(&packet.destination, &expected, sizeof(expected));
		/* Padding is no part of it. */
		assert_true(packet_parse(&packet, frame, size + 10));
		assert_int_equal(packet.payload_size, 5);
	}
}

static void what_is_shorter_than_it_says_is_no_packet(void **state)
{
	struct packet packet;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		size_t size = v6 ? udp6() : udp4();

		for (size_t cut = 0; cut < size; cut++)
			assert_false(packet_parse(&packet, frame, cut));
	}
	frame[12] = 0x12; /* of a kind that nobody knows: only Ethernet's header is looked at */
	assert_true(packet_parse(&packet, frame, PACKET_ETHERNET));
	assert_false(packet.is_ip);
	assert_false(packet_parse(&packet, frame, PACKET_MAX + 1));
}

static void lengths_that_lie_are_refused(void **state)
{
	struct packet packet;
	size_t size = udp4();

	(void)state;
	frame[14] = 0x44; /* a header of 16 bytes */
	assert_false(packet_parse(&packet, frame, size));
	frame[14] = 0x65; /* version 6 */
	assert_false(packet_parse(&packet, frame, size));
	size = udp4();
	frame[14 + 20 + 5] = 200; /* UDP's length */
	assert_false(packet_parse(&packet, frame, size));
	frame[14 + 20 + 5] = 7;
	assert_false(packet_parse(&packet, frame, size));
}

static void pieces_of_datagrams_have_no_ports(void **state)
{
	static const uint8_t bits[][2] = {{0x20, 0}, {0, 1}, {0x1f, 0xff}};
	struct packet packet;
	size_t size;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bits); i++) {
		size = udp4();
		memcpy(frame + 14 + 6, bits[i], 2);
		assert_true(packet_parse(&packet, frame, size));
		assert_true(packet.is_fragment);
		assert_int_equal(packet.destination_port, 0);
		assert_int_equal(packet.payload_size, 13);
	}
	size = udp4();
	frame[14 + 6] = 0x40; /* don't fragment */
	assert_true(packet_parse(&packet, frame, size) && !packet.is_fragment);
}

/* Puts extension headers in front of what udp6() makes. */
static size_t extended(const uint8_t *headers, size_t length, uint8_t first)
{
	size_t size = udp6(), at = PACKET_ETHERNET + 40;

	memmove(frame + at + length, frame + at, size - at);
	memcpy(frame + at, headers, length);
	frame[PACKET_ETHERNET + 6] = first;
	frame[PACKET_ETHERNET + 5] = (uint8_t)(size - at + length);
	return size + length;
}

static void extension_headers_are_passed_over(void **state)
{
	static const uint8_t options[] = {IPPROTO_DSTOPTS, 0, 1, 4, 0, 0, 0, 0, IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0};
	static const uint8_t fragment[] = {IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 1};
	static const uint8_t too_long[] = {IPPROTO_UDP, 9, 1, 4, 0, 0, 0, 0};
	uint8_t many[128] = {0};
	struct packet packet;

	(void)state;
	assert_true(packet_parse(&packet, frame, extended(options, sizeof(options), IPPROTO_HOPOPTS)));
	assert_true(packet.has_options && !packet.is_fragment);
	assert_int_equal(packet.protocol, IPPROTO_UDP);
	assert_int_equal(packet.destination_port, 53);
	assert_true(packet_parse(&packet, frame, extended(fragment, sizeof(fragment), IPPROTO_FRAGMENT)));
	assert_true(packet.is_fragment && !packet.has_options);
	assert_int_equal(packet.destination_port, 0);
	assert_false(packet_parse(&packet, frame, extended(too_long, sizeof(too_long), IPPROTO_DSTOPTS)));
	for (size_t i = 0; i < sizeof(many); i += 8)
		many[i] = i + 8 < sizeof(many) ? IPPROTO_DSTOPTS : IPPROTO_UDP;
	assert_true(packet_parse(&packet, frame, extended(many + 64, 64, IPPROTO_DSTOPTS)));
	assert_false(packet_parse(&packet, frame, extended(many, 128, IPPROTO_DSTOPTS)));
}

static void a_tagged_frame_is_no_ip(void **state)
{
	struct packet packet;
	size_t size = udp4();

	(void)state;
	memmove(frame + 16, frame + 12, size - 12);
	memcpy(frame + 12, (const uint8_t[]){0x81, 0, 0, 1}, 4);
	assert_true(packet_parse(&packet, frame, size + 4));
	assert_false(packet.is_ip);
	assert_int_equal(packet.type, 0x8100);
}

static uint16_t sum_of(const uint8_t *at, size_t size, uint32_t total)
{
	for (; size > 1; at += 2, size -= 2)
		total += (uint32_t)(at[0] << 8 | at[1]);
	total += size ? (uint32_t)at[0] << 8 : 0;
	total = (total & 0xffff) + (total >> 16);
	return (uint16_t)((total & 0xffff) + (total >> 16));
}

static void what_is_composed_has_right_checksums(void **state)
{
	size_t size = udp4();

	(void)state;
	assert_int_equal(sum_of(frame + 14, 20, 0), 0xffff);
	assert_int_equal(sum_of(frame + 14 + 12, size - 14 - 12, IPPROTO_UDP + 13), 0xffff);
	size = udp6();
	assert_int_equal(sum_of(frame + 14 + 8, size - 14 - 8, IPPROTO_UDP + 13), 0xffff);
}

static void what_is_prohibited_is_told_with_what_it_was(void **state)
{
	static uint8_t answer[PACKET_MAX];
	struct packet packet, told;
	uint8_t gateway[6];

	(void)state;
	place_hardware(gateway, PLACE_GATEWAY);
	for (int v6 = 0; v6 < 2; v6++) {
		struct packet_address source = frames_address(v6 ? "fd61:6e6e:6578::ff01" : "198.19.255.1");
		size_t size = v6 ? udp6() : udp4();

		assert_true(packet_parse(&packet, frame, size));
		size = compose_prohibited(answer, &packet, gateway, &source);
		assert_true(packet_parse(&told, answer, size));
		assert_int_equal(told.protocol, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
		assert_int_equal(told.payload[0], v6 ? 1 : 3);
		assert_int_equal(told.payload[1], v6 ? 1 : 13);
		assert_memory_equal(told.payload + 8, frame + PACKET_ETHERNET, told.payload_size - 8);
		assert_memory_equal(&told.destination, &packet.source, sizeof(told.destination));
		/* No answer to the answer. */
		source = packet.source;
		assert_int_equal(compose_prohibited(frame, &told, gateway, &source), 0);
	}
}

static void a_refused_connection_is_reset(void **state)
{
	static uint8_t answer[PACKET_MAX];
	struct packet packet, told;
	size_t size = frames_udp(frame, MACHINE, "198.19.3.7", "192.0.2.1", 80, "0123456789abcdef");
	uint8_t *tcp = frame + PACKET_ETHERNET + 20;

	(void)state;
	frame[PACKET_ETHERNET + 9] = IPPROTO_TCP;
	memcpy(tcp + 4, (const uint8_t[]){0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9, 0x50, 2}, 10);
	assert_true(packet_parse(&packet, frame, size));
	size = compose_reset(answer, &packet);
	assert_true(packet_parse(&told, answer, size));
	assert_int_equal(told.source_port, 80);
	/* A reset that acknowledges the SYN and the 4 bytes with it: 0xffffffff + 5. */
	assert_memory_equal(told.payload + 4, ((const uint8_t[]){0, 0, 0, 0, 0, 0, 0, 4, 0x50, 0x14}), 10);
	assert_int_equal(sum_of(answer + 14 + 12, size - 14 - 12, IPPROTO_TCP + 20), 0xffff);
	assert_int_equal(compose_reset(frame, &told), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_datagram_is_taken_apart),
		cmocka_unit_test(what_is_shorter_than_it_says_is_no_packet),
		cmocka_unit_test(lengths_that_lie_are_refused),
		cmocka_unit_test(pieces_of_datagrams_have_no_ports),
		cmocka_unit_test(extension_headers_are_passed_over),
		cmocka_unit_test(a_tagged_frame_is_no_ip),
		cmocka_unit_test(what_is_composed_has_right_checksums),
		cmocka_unit_test(what_is_prohibited_is_told_with_what_it_was),
		cmocka_unit_test(a_refused_connection_is_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
