/*
 * Everything is read byte by byte: a frame lies anywhere. What its headers say is believed only as far as there are
 * bytes for it; behind that, nothing is looked at.
 */
#include "network/packet.h"

#include <net/ethernet.h>
#include <string.h>

enum {
	HEADER4 = 20,
	HEADER6 = 40,
	UDP_HEADER = 8,
	TCP_HEADER = 20,
	EXTENSIONS_LIMIT = 8, /* more headers than that nobody means well by */
};

#define TYPE_AT       12u
#define FRAGMENT_BITS 0x3fffu /* more fragments, and the offset: not "don't fragment" */

static uint16_t number16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* Ports, and what is behind UDP's header. */
static bool take_transport(struct packet *packet)
{
	const uint8_t *at = packet->payload;
	size_t size = packet->payload_size;

	if (packet->is_fragment || (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP))
		return true;
	if (size < (packet->protocol == IPPROTO_TCP ? TCP_HEADER : UDP_HEADER))
		return false;
	packet->source_port = number16(at);
	packet->destination_port = number16(at + 2);
	if (packet->protocol == IPPROTO_TCP)
		return true;
	if (number16(at + 4) < UDP_HEADER || number16(at + 4) > size)
		return false;
	packet->payload = at + UDP_HEADER;
	packet->payload_size = number16(at + 4) - UDP_HEADER;
	return true;
}

static bool parse4(struct packet *packet, const uint8_t *at, size_t size)
{
	size_t header, total;

	if (size < HEADER4 || at[0] >> 4 != 4)
		return false;
	header = (size_t)(at[0] & 0xf) * 4;
	total = number16(at + 2);
	if (header < HEADER4 || total < header || total > size)
		return false;
	packet->has_options = header > HEADER4;
	packet->is_fragment = (number16(at + 6) & FRAGMENT_BITS) != 0;
	packet->protocol = at[9];
	memcpy(&packet->source.of.v4, at + 12, 4);
	memcpy(&packet->destination.of.v4, at + 16, 4);
	packet->payload = at + header;
	packet->payload_size = total - header;
	return take_transport(packet);
}

/* How long an extension header is; 0: it is none, or has no length that could be told. */
static size_t extension_size(uint8_t kind, const uint8_t *at, size_t left)
{
	if (left < 8)
		return 0;
	switch (kind) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
		return ((size_t)at[1] + 1) * 8;
	case IPPROTO_AH:
		return ((size_t)at[1] + 2) * 4;
	case IPPROTO_FRAGMENT:
		return 8;
	default:
		return 0;
	}
}

static bool is_extension(uint8_t kind)
{
	return kind == IPPROTO_HOPOPTS || kind == IPPROTO_ROUTING || kind == IPPROTO_DSTOPTS || kind == IPPROTO_MH ||
	       kind == IPPROTO_AH || kind == IPPROTO_FRAGMENT;
}

static bool parse6(struct packet *packet, const uint8_t *at, size_t size)
{
	uint8_t kind;
	size_t left;

	if (size < HEADER6 || at[0] >> 4 != 6)
		return false;
	left = number16(at + 4);
	if (left > size - HEADER6)
		return false;
	kind = at[6];
	packet->source.v6 = packet->destination.v6 = true;
	memcpy(&packet->source.of.v6_, at + 8, 16);
	memcpy(&packet->destination.of.v6_, at + 24, 16);
	at += HEADER6;
	for (unsigned i = 0; is_extension(kind); i++) {
		size_t length = extension_size(kind, at, left);
		uint8_t next = left > 0 ? at[0] : 0;

		if (length == 0 || length > left || i == EXTENSIONS_LIMIT)
			return false;
		if (kind == IPPROTO_FRAGMENT)
			packet->is_fragment = true;
		else
			packet->has_options = true;
		at += length;
		left -= length;
		kind = next;
		/* What follows a header that is not at the start is a piece of something. */
		if (packet->is_fragment)
			break;
	}
	packet->protocol = kind;
	packet->payload = at;
	packet->payload_size = left;
	return take_transport(packet);
}

bool packet_parse(struct packet *ret, const uint8_t *frame, size_t size)
{
	struct packet packet = {.frame = frame, .size = size};
	bool fine = true;

	if (size < PACKET_ETHERNET || size > PACKET_MAX)
		return false;
	packet.to = frame;
	packet.from = frame + ETH_ALEN;
	packet.type = number16(frame + TYPE_AT);
	if (packet.type == ETHERTYPE_IP)
		fine = parse4(&packet, frame + PACKET_ETHERNET, size - PACKET_ETHERNET);
	else if (packet.type == ETHERTYPE_IPV6)
		fine = parse6(&packet, frame + PACKET_ETHERNET, size - PACKET_ETHERNET);
	packet.is_ip = packet.type == ETHERTYPE_IP || packet.type == ETHERTYPE_IPV6;
	if (fine)
		*ret = packet;
	return fine;
}
