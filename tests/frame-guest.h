#pragma once
/*
 * A machine without a machine: it speaks Ethernet on a datagram socket, as QEMU would for it, and knows as much of TCP
 * as two ends that lose nothing need.
 */
#include "test.h"

#include "base/cleanup.h"
#include "frames.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define GUEST_PLACE   0x307u
#define GUEST_WAIT_MS 20000

enum { GUEST_FIN = 1, GUEST_SYN = 2, GUEST_RST = 4, GUEST_PUSH = 8, GUEST_ACK = 16, GUEST_SEGMENT = 60000 };

struct guest {
	int fd, far; /* of a socket pair: ours, and annex-network's */
	uint8_t in[PACKET_MAX + 1];
	uint8_t out[PACKET_MAX];
};

static inline void guest_open(struct guest *guest)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	guest->fd = pair[0];
	guest->far = pair[1];
}

static inline void guest_close(struct guest *guest)
{
	cleanup_close(&guest->fd);
	cleanup_close(&guest->far);
}

/* False: none came in that time. */
static inline bool guest_receive(struct guest *guest, struct packet *ret, int timeout_ms)
{
	struct pollfd ready = {.fd = guest->fd, .events = POLLIN};
	ssize_t got;

	if (poll(&ready, 1, timeout_ms) <= 0)
		return false;
	got = recv(guest->fd, guest->in, sizeof(guest->in), 0);
	if (got < 0 || !packet_parse(ret, guest->in, (size_t)got))
		abort();
	return true;
}

/* The next one, which there must be. */
static inline struct packet guest_expect(struct guest *guest)
{
	struct packet packet;

	if (!guest_receive(guest, &packet, GUEST_WAIT_MS))
		abort();
	return packet;
}

static inline void guest_send(struct guest *guest, const uint8_t *frame, size_t size)
{
	assert_int_equal(send(guest->fd, frame, size, 0), size);
}

/* --- TCP --- */

struct guest_tcp {
	struct guest *guest;
	struct frames_way way;
	uint16_t port, own_port;
	uint32_t sent, acknowledged, expected;
	bool ended, reset;
	size_t room;           /* that the other end has told */
	size_t limit, longest; /* of segments: what it asked for, and what it sent */
	uint8_t *got;
	size_t got_size, got_room;
};

static inline uint32_t guest_sum(const uint8_t *at, size_t size, uint32_t total)
{
	uint64_t sum = total;

	for (; size > 1; at += 2, size -= 2)
		sum += (uint32_t)(at[0] << 8 | at[1]);
	sum += size ? (uint32_t)at[0] << 8 : 0;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint32_t)sum;
}

static inline void guest_put32(uint8_t *at, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(number >> (24 - 8 * i));
}

static inline uint32_t guest_get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Made as a UDP datagram of the same length, whose transport header is then put over. */
static inline void guest_segment(struct guest_tcp *tcp, uint8_t flags, const void *bytes, size_t size)
{
	uint8_t *frame = tcp->guest->out;
	size_t options = flags & GUEST_SYN ? 4 : 0, header = 20 + options;
	size_t address = tcp->way.way.source.v6 ? 16 : 4, ip = tcp->way.way.source.v6 ? 40 : 20, total;
	uint8_t *at = frame + PACKET_ETHERNET + ip;

	total = compose_udp(frame, &tcp->way.way, tcp->own_port, tcp->port, tcp->guest->in, header + size - 8);
	assert_true(total > 0);
	frame[PACKET_ETHERNET + (tcp->way.way.source.v6 ? 6 : 9)] = IPPROTO_TCP;
	if (!tcp->way.way.source.v6) {
		uint16_t sum;

		memset(frame + PACKET_ETHERNET + 10, 0, 2);
		sum = (uint16_t)~guest_sum(frame + PACKET_ETHERNET, 20, 0);
		frame[PACKET_ETHERNET + 10] = (uint8_t)(sum >> 8);
		frame[PACKET_ETHERNET + 11] = (uint8_t)sum;
	}
	guest_put32(at + 4, tcp->sent);
	guest_put32(at + 8, flags & GUEST_ACK ? tcp->expected : 0);
	memset(at + 12, 0, header - 12);
	at[12] = (uint8_t)(header / 4 << 4);
	at[13] = flags;
	memset(at + 14, 0xff, 2); /* all the room in the world */
	if (options)
		memcpy(at + 20, (const uint8_t[]){2, 4, GUEST_SEGMENT >> 8, GUEST_SEGMENT & 0xff}, 4);
	if (size > 0)
		memcpy(at + header, bytes, size);
	{
		uint16_t sum = (uint16_t)~guest_sum(at - 2 * address, 2 * address + header + size,
						    IPPROTO_TCP + (uint32_t)(header + size));

		at[16] = (uint8_t)(sum >> 8);
		at[17] = (uint8_t)sum;
	}
	guest_send(tcp->guest, frame, total);
	tcp->sent += (uint32_t)size + ((flags & (GUEST_SYN | GUEST_FIN)) != 0);
}

static inline void guest_keep(struct guest_tcp *tcp, const uint8_t *bytes, size_t size)
{
	if (tcp->got_size + size > tcp->got_room) {
		tcp->got_room = (tcp->got_size + size) * 2;
		tcp->got = realloc(tcp->got, tcp->got_room);
		assert_non_null(tcp->got);
	}
	memcpy(tcp->got + tcp->got_size, bytes, size);
	tcp->got_size += size;
}

/* One segment of this connection; others are passed over. False: none came. */
static inline bool guest_step(struct guest_tcp *tcp, int timeout_ms)
{
	struct packet packet;
	const uint8_t *at;
	size_t header;

	do {
		if (!guest_receive(tcp->guest, &packet, timeout_ms))
			return false;
	} while (packet.protocol != IPPROTO_TCP || packet.destination_port != tcp->own_port ||
		 packet.source_port != tcp->port);
	at = packet.payload;
	header = (size_t)(at[12] >> 4) * 4;
	if (at[13] & GUEST_RST)
		tcp->reset = tcp->ended = true;
	if (at[13] & GUEST_ACK)
		tcp->acknowledged = guest_get32(at + 8);
	tcp->room = (size_t)(at[14] << 8 | at[15]);
	if (at[13] & GUEST_SYN && header > 20 && at[20] == 2)
		tcp->limit = (size_t)(at[22] << 8 | at[23]);
	tcp->longest = packet.payload_size - header > tcp->longest ? packet.payload_size - header : tcp->longest;
	if (at[13] & GUEST_SYN)
		tcp->expected = guest_get32(at + 4) + 1;
	if (guest_get32(at + 4) == tcp->expected && packet.payload_size > header) {
		guest_keep(tcp, at + header, packet.payload_size - header);
		tcp->expected += (uint32_t)(packet.payload_size - header);
	}
	if (at[13] & GUEST_FIN && !tcp->reset && !tcp->ended) {
		tcp->expected++;
		tcp->ended = true;
	}
	if (!tcp->reset && (packet.payload_size > header || at[13] & (GUEST_FIN | GUEST_SYN)))
		guest_segment(tcp, GUEST_ACK, NULL, 0);
	return true;
}

/* False: it was refused, or nobody said anything. */
static inline bool guest_connect(struct guest_tcp *tcp, struct guest *guest, const char *address, uint16_t port)
{
	static uint16_t next_port = 20000;
	bool v6 = strchr(address, ':') != NULL;

	*tcp = (struct guest_tcp){.guest = guest, .port = port, .own_port = next_port++, .sent = 1000};
	frames_way(&tcp->way, GUEST_PLACE, v6 ? "fd61:6e6e:6578::307" : "198.19.3.7", PLACE_GATEWAY, address);
	tcp->way.way.to = tcp->way.to;
	tcp->way.way.from = tcp->way.from;
	guest_segment(tcp, GUEST_SYN, NULL, 0);
	while (!tcp->reset && tcp->acknowledged != tcp->sent)
		if (!guest_step(tcp, GUEST_WAIT_MS))
			return false;
	return !tcp->reset;
}

static inline void guest_write(struct guest_tcp *tcp, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		size_t under_way = tcp->sent - tcp->acknowledged, part = size;

		if (under_way >= tcp->room) {
			assert_true(guest_step(tcp, GUEST_WAIT_MS));
			continue;
		}
		part = part > tcp->room - under_way ? tcp->room - under_way : part;
		part = part > GUEST_SEGMENT ? GUEST_SEGMENT : part;
		part = tcp->limit > 0 && part > tcp->limit ? tcp->limit : part;
		guest_segment(tcp, GUEST_ACK | GUEST_PUSH, at, part);
		at += part;
		size -= part;
	}
}

/* So many bytes are in tcp->got; or all that come before the end. */
static inline void guest_read(struct guest_tcp *tcp, size_t size)
{
	while (tcp->got_size < size && !tcp->ended)
		assert_true(guest_step(tcp, GUEST_WAIT_MS));
}

static inline void guest_finish(struct guest_tcp *tcp)
{
	guest_segment(tcp, GUEST_FIN | GUEST_ACK, NULL, 0);
	while (!tcp->ended)
		assert_true(guest_step(tcp, GUEST_WAIT_MS));
	free(tcp->got);
}
