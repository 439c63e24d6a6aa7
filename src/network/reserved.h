#pragma once
#include "network/packet.h"

/*
 * Addresses that are not the outside's. An IPv6 address that carries an IPv4 address for a translator (NAT64, 6to4,
 * Teredo) is what that one is. Pure.
 */
enum reserved {
	RESERVED_NOT,
	RESERVED_NEVER, /* loopback, "this host", link-local IPv6, multicast, broadcast, annex's own: nobody's outside
			 */
	/* What the host's link, or its cloud, has for the host itself: link-local IPv4 and the services of metadata,
	 * which hand out the host's credentials. */
	RESERVED_HOSTS,
};

enum reserved reserved_address(const struct packet_address *address);
/* The same of a whole network: RESERVED_NOT as soon as one of its addresses is. */
enum reserved reserved_network(const struct packet_address *address, unsigned prefix);
/* False: it carries none. */
bool reserved_embedded(struct packet_address *ret, const struct packet_address *address);

/* Whether the first `prefix` bits are the same; false of two families. */
bool address_within(const struct packet_address *address, const struct packet_address *network, unsigned prefix);
bool address_equal(const struct packet_address *a, const struct packet_address *b);
