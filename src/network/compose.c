#include "network/compose.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#define TYPE_AT 12u

enum {
	HEADER4 = 20,
	HEADER6 = 40,
	UDP_HEADER = 8,
	TCP_HEADER = 20,
	HOPS = 64,
	HOPS_OF_NEIGHBORS = 255, /* what neighbour discovery asks for; no harm to anything else */
	QUOTE4 = 548,            /* bytes of a datagram in an answer to it: RFC 1812, and RFC 4443 */
	QUOTE6 = 1232,
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
};

/* --- checksums: RFC 1071 --- */

static uint32_t sum(uint32_t so_far, const uint8_t *at, size_t size)
{
	uint64_t total = so_far;

	for (; size >= 2; at += 2, size -= 2)
		total += (uint32_t)(at[0] << 8 | at[1]);
	if (size > 0)
		total += (uint32_t)at[0] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint32_t)total;
}

void compose_adjust(uint8_t *checksum_at, const uint8_t *before, const uint8_t *after, size_t size)
{
	uint32_t total = ~(uint32_t)(checksum_at[0] << 8 | checksum_at[1]) & 0xffff;

	for (size_t i = 0; i < size; i += 2) {
		total += ~(uint32_t)(before[i] << 8 | before[i + 1]) & 0xffff;
		total += (uint32_t)(after[i] << 8 | after[i + 1]);
	}
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	checksum_at[0] = (uint8_t)(~total >> 8);
	checksum_at[1] = (uint8_t)~total;
}

static void put16(uint8_t *at, size_t number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
}

static void put32(uint8_t *at, uint32_t number)
{
	put16(at, number >> 16);
	put16(at + 2, number & 0xffff);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static const uint8_t *bytes_of(const struct packet_address *address)
{
	return address->v6 ? address->of.v6_.s6_addr : (const uint8_t *)&address->of.v4;
}

static uint16_t checksum(const struct compose_way *way, uint8_t protocol, const uint8_t *payload, size_t size)
{
	size_t length = way->source.v6 ? 16 : 4;
	uint32_t total = sum(protocol, bytes_of(&way->source), length);

	total = sum(total, bytes_of(&way->destination), length);
	total = sum(total + (uint32_t)(size & 0xffff) + (uint32_t)(size >> 16), payload, size);
	return (uint16_t)~total;
}

/* --- headers --- */

static size_t header_size(const struct compose_way *way)
{
	return PACKET_ETHERNET + (way->source.v6 ? HEADER6 : HEADER4);
}

static void put_headers(uint8_t *ret, const struct compose_way *way, uint8_t protocol, size_t size)
{
	uint8_t *at = ret + PACKET_ETHERNET;

	memcpy(ret, way->to, ETH_ALEN);
	memcpy(ret + ETH_ALEN, way->from, ETH_ALEN);
	put16(ret + TYPE_AT, way->source.v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	if (way->source.v6) {
		put32(at, 6u << 28);
		put16(at + 4, size);
		at[6] = protocol;
		at[7] = protocol == IPPROTO_ICMPV6 ? HOPS_OF_NEIGHBORS : HOPS;
		memcpy(at + 8, bytes_of(&way->source), 16);
		memcpy(at + 24, bytes_of(&way->destination), 16);
		return;
	}
	memset(at, 0, HEADER4);
	at[0] = 4 << 4 | HEADER4 / 4;
	put16(at + 2, HEADER4 + size);
	put16(at + 6, 0x4000); /* whole for ever */
	at[8] = HOPS;
	at[9] = protocol;
	memcpy(at + 12, bytes_of(&way->source), 4);
	memcpy(at + 16, bytes_of(&way->destination), 4);
	put16(at + 10, (uint16_t)~sum(0, at, HEADER4));
}

static bool fits(const struct compose_way *way, size_t size)
{
	return size <= (way->source.v6 ? 65535u : 65535u - HEADER4) && header_size(way) + size <= PACKET_MAX;
}

size_t compose_udp(uint8_t *ret, const struct compose_way *way, uint16_t source_port, uint16_t destination_port,
		   const void *payload, size_t size)
{
	uint8_t *at = ret + header_size(way);
	uint16_t sum_of_all;

	if (!fits(way, size + UDP_HEADER))
		return 0;
	put_headers(ret, way, IPPROTO_UDP, size + UDP_HEADER);
	put16(at, source_port);
	put16(at + 2, destination_port);
	put16(at + 4, size + UDP_HEADER);
	put16(at + 6, 0);
	if (size > 0)
		memcpy(at + UDP_HEADER, payload, size);
	sum_of_all = checksum(way, IPPROTO_UDP, at, size + UDP_HEADER);
	put16(at + 6, sum_of_all ? sum_of_all : 0xffff); /* 0: none */
	return header_size(way) + UDP_HEADER + size;
}

size_t compose_icmp(uint8_t *ret, const struct compose_way *way, const void *message, size_t size)
{
	uint8_t *at = ret + header_size(way);
	uint8_t protocol = way->source.v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;

	if (!fits(way, size) || size < 8)
		return 0;
	put_headers(ret, way, protocol, size);
	memmove(at, message, size);
	put16(at + 2, 0);
	put16(at + 2, way->source.v6 ? checksum(way, protocol, at, size) : (uint16_t)~sum(0, at, size));
	return header_size(way) + size;
}

/* --- answers to what can't be done --- */

/* No errors about errors (RFC 1122, 4443), about pieces, or to what is no single machine. */
static bool may_be_answered(const struct packet *packet)
{
	if (!packet->is_ip || packet->is_fragment || packet->to[0] & 1)
		return false;
	if (packet->destination.v6)
		return !IN6_IS_ADDR_MULTICAST(&packet->destination.of.v6_) &&
		       (packet->protocol != IPPROTO_ICMPV6 ||
			(packet->payload_size > 0 && packet->payload[0] == ICMP6_ECHO_REQUEST));
	return !IN_MULTICAST(ntohl(packet->destination.of.v4.s_addr)) &&
	       packet->destination.of.v4.s_addr != INADDR_BROADCAST &&
	       (packet->protocol != IPPROTO_ICMP || (packet->payload_size > 0 && packet->payload[0] == ICMP_ECHO));
}

size_t compose_prohibited(uint8_t *ret, const struct packet *packet, const uint8_t *from,
			  const struct packet_address *source)
{
	const struct compose_way way = {
		.to = packet->from, .from = from, .source = *source, .destination = packet->source};
	uint8_t message[8 + QUOTE6] = {0};
	size_t limit = source->v6 ? QUOTE6 : QUOTE4, size = packet->size - PACKET_ETHERNET;

	if (!may_be_answered(packet) || source->v6 != packet->source.v6)
		return 0;
	size = size < limit ? size : limit;
	message[0] = source->v6 ? ICMP6_DST_UNREACH : ICMP_DEST_UNREACH;
	message[1] = source->v6 ? ICMP6_DST_UNREACH_ADMIN : ICMP_PKT_FILTERED;
	memcpy(message + 8, packet->frame + PACKET_ETHERNET, size);
	return compose_icmp(ret, &way, message, 8 + size);
}

size_t compose_reset(uint8_t *ret, const struct packet *packet)
{
	const struct compose_way way = {
		.to = packet->from, .from = packet->to, .source = packet->destination, .destination = packet->source};
	const uint8_t *theirs = packet->payload;
	uint8_t *at = ret + header_size(&way), flags;
	size_t offset;

	if (!may_be_answered(packet) || packet->protocol != IPPROTO_TCP || packet->payload_size < TCP_HEADER)
		return 0;
	flags = theirs[13];
	offset = (size_t)(theirs[12] >> 4) * 4;
	if (flags & TCP_RST || offset < TCP_HEADER || offset > packet->payload_size)
		return 0;
	put_headers(ret, &way, IPPROTO_TCP, TCP_HEADER);
	memset(at, 0, TCP_HEADER);
	put16(at, packet->destination_port);
	put16(at + 2, packet->source_port);
	at[12] = TCP_HEADER / 4 << 4;
	if (flags & TCP_ACK) {
		at[13] = TCP_RST;
		memcpy(at + 4, theirs + 8, 4);
	} else {
		at[13] = TCP_RST | TCP_ACK;
		put32(at + 8, get32(theirs + 4) + (uint32_t)(packet->payload_size - offset) + ((flags & TCP_SYN) != 0) +
				      ((flags & TCP_FIN) != 0));
	}
	put16(at + 16, checksum(&way, IPPROTO_TCP, at, TCP_HEADER));
	return header_size(&way) + TCP_HEADER;
}
