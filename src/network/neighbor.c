#include "network/neighbor.h"

#include "network/compose.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <string.h>

enum {
	ARP_SIZE = 28,
	ARP_FRAME = 60, /* padded as Ethernet wants it */
	HOP_LIMIT_AT = PACKET_ETHERNET + 7,
	SOLICITATION = 24, /* and options behind it */
	ADVERTISEMENT = 32 /* with one option */
};

static const uint8_t arp_request[] = {0, 1, 8, 0, 6, 4, 0, 1}, arp_reply[] = {0, 1, 8, 0, 6, 4, 0, 2};

static bool is_there(uint32_t place, uint32_t own, neighbor_has_fn *has, void *data)
{
	if (place == PLACE_GATEWAY || place == PLACE_DNS)
		return true;
	return place != own && place_is_valid(place) && has(place, data);
}

static size_t answer_arp(uint8_t *ret, const struct packet *packet, uint32_t own, neighbor_has_fn *has, void *data)
{
	const uint8_t *theirs = packet->frame + PACKET_ETHERNET;
	struct in_addr target;
	uint32_t place = 0;
	uint8_t *at = ret + PACKET_ETHERNET;

	if (packet->size < PACKET_ETHERNET + ARP_SIZE || memcmp(theirs, arp_request, sizeof(arp_request)) != 0)
		return 0;
	memcpy(&target, theirs + 24, sizeof(target));
	if (!place_of_guest(&place, target) || !is_there(place, own, has, data))
		return 0;
	memset(ret, 0, ARP_FRAME);
	memcpy(ret, packet->from, ETH_ALEN);
	place_hardware(ret + ETH_ALEN, place);
	memcpy(ret + PACKET_ETHERNET - 2, packet->frame + PACKET_ETHERNET - 2, 2);
	memcpy(at, arp_reply, sizeof(arp_reply));
	place_hardware(at + 8, place);
	memcpy(at + 14, theirs + 24, 4);
	memcpy(at + 18, theirs + 8, ETH_ALEN + 4);
	return ARP_FRAME;
}

static size_t answer_solicitation(uint8_t *ret, const struct packet *packet, uint32_t own, neighbor_has_fn *has,
				  void *data)
{
	uint8_t message[ADVERTISEMENT] = {ND_NEIGHBOR_ADVERT}, from[ETH_ALEN];
	struct compose_way way = {.to = packet->from, .from = from, .source = {.v6 = true}};
	uint32_t place = 0;

	/* Who looks whether an address is free has none to be answered at; ours are not free, and it has its own. */
	if (packet->payload_size < SOLICITATION || packet->frame[HOP_LIMIT_AT] != 255 || packet->payload[1] != 0 ||
	    IN6_IS_ADDR_UNSPECIFIED(&packet->source.of.v6_))
		return 0;
	memcpy(&way.source.of.v6_, packet->payload + 8, 16);
	if (!place_of_guest6(&place, &way.source.of.v6_) || !is_there(place, own, has, data))
		return 0;
	place_hardware(from, place);
	way.destination = packet->source;
	message[4] = (place == PLACE_GATEWAY ? 0x80 : 0) | 0x60; /* a router; asked for; what was known before is not */
	memcpy(message + 8, &way.source.of.v6_, 16);
	message[24] = ND_OPT_TARGET_LINKADDR;
	message[25] = 1;
	memcpy(message + 26, from, ETH_ALEN);
	return compose_icmp(ret, &way, message, sizeof(message));
}

static bool is_icmp6(const struct packet *packet)
{
	return packet->is_ip && packet->destination.v6 && packet->protocol == IPPROTO_ICMPV6 && !packet->is_fragment &&
	       packet->payload_size > 0;
}

size_t neighbor_answer(uint8_t ret[NEIGHBOR_FRAME_MAX], const struct packet *packet, uint32_t own, neighbor_has_fn *has,
		       void *data)
{
	if (packet->type == ETHERTYPE_ARP)
		return answer_arp(ret, packet, own, has, data);
	if (is_icmp6(packet) && packet->payload[0] == ND_NEIGHBOR_SOLICIT)
		return answer_solicitation(ret, packet, own, has, data);
	return 0;
}

bool neighbor_speaks(const struct packet *packet)
{
	return packet->type == ETHERTYPE_ARP ||
	       (is_icmp6(packet) && packet->payload[0] >= ND_ROUTER_SOLICIT && packet->payload[0] <= ND_REDIRECT);
}
