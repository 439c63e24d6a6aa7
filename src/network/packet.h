#pragma once
#include "base/error.h"
#include "base/hash.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One Ethernet frame as a stranger sent it, taken apart (RFC 894, 791, 8200). Pure. */
#define PACKET_ETHERNET 14u
#define PACKET_MAX      (65535u + PACKET_ETHERNET)

/* IPv4 or IPv6. */
struct packet_address {
	bool v6;
	union {
		struct in_addr v4;
		struct in6_addr v6_;
	} of;
};

static inline uint32_t packet_address_hash(uint32_t hash, const struct packet_address *address)
{
	return address->v6 ? hash_bytes(hash, &address->of.v6_, sizeof(address->of.v6_))
			   : hash_bytes(hash, &address->of.v4, sizeof(address->of.v4));
}

struct packet {
	const uint8_t *frame;
	size_t size;
	const uint8_t *to, *from; /* hardware addresses */
	uint16_t type;            /* ETH_P_… */
	/* The rest only of ETH_P_IP and ETH_P_IPV6; zero otherwise. */
	bool is_ip;
	bool is_fragment; /* a piece of a datagram: it has no ports, and what it is may be told by another piece only */
	bool has_options; /* of IPv4, or extension headers of IPv6 other than a fragment's */
	uint8_t protocol; /* IPPROTO_…; behind extension headers */
	struct packet_address source, destination;
	uint16_t source_port, destination_port; /* of TCP and UDP; host order */
	const uint8_t *payload; /* of the IP datagram, behind all its headers; UDP's: behind its own, too */
	size_t payload_size;
};

/* False: it is malformed: shorter than its headers say. What is longer (Ethernet pads) is no part of the payload. */
MUST_USE bool packet_parse(struct packet *ret, const uint8_t *frame, size_t size);
