#pragma once
#include "network/packet.h"

/* Frames of annex's own making. Pure. Each gives the frame's size; `ret` has room for PACKET_MAX bytes. */
struct compose_way {
	const uint8_t *to, *from;                  /* hardware addresses */
	struct packet_address source, destination; /* of one family */
};

/* 0: it is longer than a datagram can be. */
size_t compose_udp(uint8_t *ret, const struct compose_way *way, uint16_t source_port, uint16_t destination_port,
		   const void *payload, size_t size);
/* ICMP or ICMPv6: from its type on; the checksum is filled in. 0: too long. */
size_t compose_icmp(uint8_t *ret, const struct compose_way *way, const void *message, size_t size);
/* The answer to a datagram that may not go where it wants to: by `from`, which has the address `source`. 0: it is one
 * that must not be answered. */
size_t compose_prohibited(uint8_t *ret, const struct packet *packet, const uint8_t *from,
			  const struct packet_address *source);
/* The end of a TCP connection that somebody tries to begin or use, as its other end would tell it. `packet` is TCP's
 * and no fragment. 0: it must not be answered. */
size_t compose_reset(uint8_t *ret, const struct packet *packet);
/* A checksum, when bytes at an even place of what it is for change (RFC 1624); `size` is even. */
void compose_adjust(uint8_t *checksum_at, const uint8_t *before, const uint8_t *after, size_t size);
