/*
 * A frame's way is told by its destination's address alone. What annex has no place for is dropped: frames that are no
 * IP, multicast and broadcast, other hardware addresses than the machine's own as a source. What may not be is answered
 * as a router would (prohibited), or as a host where nothing listens (reset), so that nobody in the machine waits for a
 * time-out.
 *
 * libslirp and passt have their own ideas of hardware addresses: what they send is put behind a header of the router's
 * or the resolver's.
 *
 * Connections end with the uplink that carries them, and a passt that does not know of a connection says nothing. So
 * once the uplink has changed, the beginnings of connections leave marks, and what belongs to a connection without one
 * is reset. Two connections may share a mark: then one that is gone is not reset, but never one that goes on.
 */
#include "network/gateway.h"

#include "network/compose.h"
#include "network/neighbor.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>

enum { RESOLVER_PORT = 53, MARKS = 1 << 20, TCP_FLAGS_AT = 13, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

#define FROM_V6 (UINT64_C(1) << 16) /* who asks the resolver: a port, and this */

struct gateway {
	struct gateway_options options;
	struct uplink *outside, *host, *services;
	uint8_t own[ETH_ALEN], router[ETH_ALEN], resolver[ETH_ALEN];
	bool held;
	uint8_t *marks; /* NULL: the uplink is the first one */
	uint8_t frame[PACKET_MAX];
};

/* --- addresses --- */

static struct packet_address address_of(uint32_t place, bool v6)
{
	return v6 ? (struct packet_address){.v6 = true, .of.v6_ = place_guest6(place)}
		  : (struct packet_address){.of.v4 = place_guest(place)};
}

static bool place_of(uint32_t *ret, const struct packet_address *address)
{
	return address->v6 ? place_of_guest6(ret, &address->of.v6_) : place_of_guest(ret, address->of.v4);
}

static bool is_loopback(const struct packet_address *address)
{
	return address->v6 ? IN6_IS_ADDR_LOOPBACK(&address->of.v6_) : ntohl(address->of.v4.s_addr) >> 24 == 127;
}

static bool is_single(const struct packet_address *address)
{
	if (address->v6)
		return !IN6_IS_ADDR_MULTICAST(&address->of.v6_) && !IN6_IS_ADDR_UNSPECIFIED(&address->of.v6_);
	return ntohl(address->of.v4.s_addr) >> 28 < 14 && address->of.v4.s_addr != INADDR_ANY;
}

/* --- to the machine --- */

static void send_whole(const struct gateway *gateway, size_t size)
{
	if (size > 0)
		gateway->options.ways->deliver(gateway->frame, size, NULL, 0, gateway->options.data);
}

static void prohibit(struct gateway *gateway, const struct packet *packet)
{
	struct packet_address source = address_of(PLACE_GATEWAY, packet->source.v6);

	send_whole(gateway, compose_prohibited(gateway->frame, packet, gateway->router, &source));
}

/* As a host on which nothing listens. */
static void refuse(struct gateway *gateway, const struct packet *packet)
{
	if (packet->protocol == IPPROTO_TCP)
		send_whole(gateway, compose_reset(gateway->frame, packet));
	else
		prohibit(gateway, packet);
}

/* A question whether somebody is there, to an address of annex's own. */
static bool answer_echo(struct gateway *gateway, const struct packet *packet)
{
	bool v6 = packet->destination.v6;
	const struct compose_way way = {
		.to = gateway->own, .from = packet->to, .source = packet->destination, .destination = packet->source};
	size_t size;

	if (packet->protocol != (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) || packet->is_fragment ||
	    packet->payload_size < 8 || packet->payload[0] != (v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO))
		return false;
	size = compose_icmp(gateway->frame, &way, packet->payload, packet->payload_size);
	if (size == 0)
		return true;
	/* The checksum of the answer is made again, with its type. */
	gateway->frame[size - packet->payload_size] = v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY;
	size = compose_icmp(gateway->frame, &way, gateway->frame + size - packet->payload_size, packet->payload_size);
	send_whole(gateway, size);
	return true;
}

void gateway_reply(struct gateway *gateway, const uint8_t *message, size_t size, uint64_t from)
{
	const struct compose_way way = {.to = gateway->own,
					.from = gateway->resolver,
					.source = address_of(PLACE_DNS, from & FROM_V6),
					.destination = address_of(gateway->options.place, from & FROM_V6)};

	send_whole(gateway, compose_udp(gateway->frame, &way, RESOLVER_PORT, (uint16_t)(from & 0xffff), message, size));
}

void gateway_give_peer(struct gateway *gateway, const struct packet *packet)
{
	gateway->options.ways->deliver(packet->frame, packet->size, NULL, 0, gateway->options.data);
}

/* Annex's own addresses may speak through an uplink, other machines and the machine itself not. */
static bool may_come(const struct gateway *gateway, const struct packet *packet)
{
	uint32_t place = 0;

	if (!packet->is_ip || neighbor_speaks(packet) || !is_single(&packet->source) || is_loopback(&packet->source))
		return false;
	if (place_of(&place, &packet->source) && place != PLACE_GATEWAY && place != PLACE_DNS)
		return false;
	return place_of(&place, &packet->destination) && place == gateway->options.place;
}

/* Some versions of passt refuse a connection by a reset that does not say what it is the answer to, although it has
 * that: Linux does not take it for one. In gateway->frame; NULL: the frame is right as it is. */
static const uint8_t *mended(struct gateway *gateway, const struct packet *packet)
{
	static const uint8_t none[4] = {0};
	const uint8_t *tcp = packet->payload;
	uint8_t *copy;

	if (packet->protocol != IPPROTO_TCP || packet->is_fragment ||
	    (tcp[TCP_FLAGS_AT] & (TCP_RST | TCP_ACK)) != TCP_RST || memcmp(tcp + 8, none, sizeof(none)) == 0)
		return NULL;
	memcpy(gateway->frame, packet->frame, packet->size);
	copy = gateway->frame + (tcp - packet->frame);
	copy[TCP_FLAGS_AT] |= TCP_ACK;
	compose_adjust(copy + 16, tcp + 12, copy + 12, 2);
	return gateway->frame;
}

void gateway_give(struct gateway *gateway, const uint8_t *frame, size_t size)
{
	uint8_t header[PACKET_ETHERNET];
	const uint8_t *other;
	struct packet packet;
	uint32_t place = 0;

	if (!packet_parse(&packet, frame, size) || !may_come(gateway, &packet))
		return;
	other = mended(gateway, &packet);
	frame = other ? other : frame;
	memcpy(header, gateway->own, ETH_ALEN);
	memcpy(header + ETH_ALEN,
	       place_of(&place, &packet.source) && place == PLACE_DNS ? gateway->resolver : gateway->router, ETH_ALEN);
	memcpy(header + PACKET_ETHERNET - 2, frame + PACKET_ETHERNET - 2, 2);
	gateway->options.ways->deliver(header, sizeof(header), frame + sizeof(header), size - sizeof(header),
				       gateway->options.data);
}

/* --- connections of an uplink that is gone --- */

static size_t mark_of(const struct packet *packet)
{
	uint32_t hash = packet_address_hash(HASH_BEGIN, &packet->destination);

	hash = hash_bytes(hash, packet->payload, 4); /* both ports */
	return (hash ^ hash >> 20) % MARKS;
}

static bool is_forgotten(const struct gateway *gateway, const struct packet *packet)
{
	size_t mark;

	if (!gateway->marks || packet->protocol != IPPROTO_TCP || packet->is_fragment)
		return false;
	mark = mark_of(packet);
	if (packet->payload[TCP_FLAGS_AT] & TCP_SYN)
		gateway->marks[mark / 8] |= (uint8_t)(1u << mark % 8);
	return !(gateway->marks[mark / 8] & 1u << mark % 8);
}

void gateway_set_outside(struct gateway *gateway, struct uplink *outside)
{
	bool first = !gateway->outside && !gateway->marks;

	if (gateway->outside == outside)
		return;
	gateway->outside = outside;
	if (outside)
		outside->type->hold(outside, gateway->held);
	if (first)
		return;
	if (!gateway->marks)
		gateway->marks = malloc(MARKS / 8); /* without, connections wait for their time-out */
	if (gateway->marks)
		memset(gateway->marks, 0, MARKS / 8);
}

/* --- from the machine --- */

static void to_uplink(struct gateway *gateway, struct uplink *uplink, const struct packet *packet)
{
	if (!uplink)
		return;
	if (uplink == gateway->outside && is_forgotten(gateway, packet))
		refuse(gateway, packet);
	else
		uplink->type->send(uplink, packet);
}

/* What carries a packet outside. */
static struct uplink *outside_of(const struct gateway *gateway, const struct packet *packet)
{
	const struct gateway_ways *ways = gateway->options.ways;

	if (packet->source.v6 && gateway->outside && gateway->services && ways->carries6 &&
	    !ways->carries6(gateway->options.data))
		return gateway->services;
	return gateway->outside;
}

static void to_router(struct gateway *gateway, const struct packet *packet)
{
	if (answer_echo(gateway, packet))
		return;
	if (gateway->options.host_access)
		to_uplink(gateway, gateway->host ? gateway->host : outside_of(gateway, packet), packet);
	else
		refuse(gateway, packet);
}

static void to_resolver(struct gateway *gateway, const struct packet *packet)
{
	bool asks = packet->destination_port == RESOLVER_PORT && !packet->is_fragment;

	if (answer_echo(gateway, packet))
		return;
	if (asks && packet->protocol == IPPROTO_UDP)
		gateway->options.ways->resolve(packet->payload, packet->payload_size,
					       packet->source_port | (packet->source.v6 ? FROM_V6 : 0),
					       gateway->options.data);
	else if (asks && packet->protocol == IPPROTO_TCP && !packet->source.v6 && gateway->services)
		gateway->services->type->send(gateway->services, packet);
	else
		refuse(gateway, packet);
}

static void to_machine(struct gateway *gateway, const struct packet *packet, uint32_t place)
{
	uint32_t wanted = 0;

	if (!place_is_valid(place) || place == gateway->options.place)
		return;
	if (!gateway->options.ways->has(place, gateway->options.data))
		prohibit(gateway, packet);
	else if (place_of_hardware(&wanted, packet->to) && wanted == place)
		gateway->options.ways->pass(packet, gateway->options.data);
}

static void to_outside(struct gateway *gateway, const struct packet *packet)
{
	if (gateway->options.ways->allows(packet, gateway->options.data))
		to_uplink(gateway, outside_of(gateway, packet), packet);
	else
		prohibit(gateway, packet);
}

static void take_ip(struct gateway *gateway, const struct packet *packet)
{
	uint32_t place = 0;

	if (!place_of(&place, &packet->source) || place != gateway->options.place)
		return;
	if (!is_single(&packet->destination))
		return;
	if (!place_of(&place, &packet->destination))
		to_outside(gateway, packet);
	else if (place == PLACE_GATEWAY)
		to_router(gateway, packet);
	else if (place == PLACE_DNS)
		to_resolver(gateway, packet);
	else
		to_machine(gateway, packet, place);
}

void gateway_take(struct gateway *gateway, const uint8_t *frame, size_t size)
{
	struct packet packet;

	if (!packet_parse(&packet, frame, size) || memcmp(packet.from, gateway->own, ETH_ALEN) != 0)
		return;
	if (neighbor_speaks(&packet))
		send_whole(gateway, neighbor_answer(gateway->frame, &packet, gateway->options.place,
						    gateway->options.ways->has, gateway->options.data));
	else if (packet.is_ip)
		take_ip(gateway, &packet);
}

static void settle(struct uplink *uplink)
{
	if (uplink && uplink->type->settle)
		uplink->type->settle(uplink);
}

void gateway_settle(struct gateway *gateway)
{
	settle(gateway->outside);
	if (gateway->host != gateway->outside)
		settle(gateway->host);
	if (gateway->services != gateway->host && gateway->services != gateway->outside)
		settle(gateway->services);
}

static void hold_back(struct uplink *uplink, bool hold)
{
	if (uplink)
		uplink->type->hold(uplink, hold);
}

void gateway_hold(struct gateway *gateway, bool hold)
{
	gateway->held = hold;
	hold_back(gateway->outside, hold);
	hold_back(gateway->host, hold);
	hold_back(gateway->services, hold);
}

/* --- its life --- */

void gateway_set_host(struct gateway *gateway, struct uplink *host, struct uplink *services)
{
	gateway->host = host;
	gateway->services = services;
	gateway_hold(gateway, gateway->held);
}

void gateway_set_host_access(struct gateway *gateway, bool host_access)
{
	gateway->options.host_access = host_access;
}

int gateway_new(struct gateway **ret, const struct gateway_options *options, struct annex_error **err)
{
	struct gateway *gateway = calloc(1, sizeof(*gateway));

	if (!gateway)
		return fail_memory(err);
	gateway->options = *options;
	place_hardware(gateway->own, options->place);
	place_hardware(gateway->router, PLACE_GATEWAY);
	place_hardware(gateway->resolver, PLACE_DNS);
	*ret = gateway;
	return 0;
}

void gateway_free(struct gateway *gateway)
{
	if (!gateway)
		return;
	free(gateway->marks);
	free(gateway);
}
