#pragma once
/* Frames as a guest sends them. */
#include "network/address.h"
#include "network/compose.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <string.h>

static const uint8_t frames_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static inline struct packet_address frames_address(const char *text)
{
	struct packet_address address = {.v6 = strchr(text, ':') != NULL};

	if (inet_pton(address.v6 ? AF_INET6 : AF_INET, text,
		      address.v6 ? (void *)&address.of.v6_ : (void *)&address.of.v4) != 1)
		abort();
	return address;
}

/* From a machine to annex, or from one place to another. */
struct frames_way {
	uint8_t to[6], from[6];
	struct compose_way way;
};

static inline void frames_way(struct frames_way *ret, uint32_t from, const char *source, uint32_t to,
			      const char *destination)
{
	place_hardware(ret->from, from);
	place_hardware(ret->to, to);
	ret->way = (struct compose_way){.to = ret->to,
					.from = ret->from,
					.source = frames_address(source),
					.destination = frames_address(destination)};
}

static inline size_t frames_udp(uint8_t *frame, uint32_t from, const char *source, const char *destination,
				uint16_t port, const char *text)
{
	struct frames_way way;

	frames_way(&way, from, source, PLACE_GATEWAY, destination);
	return compose_udp(frame, &way.way, 4000, port, text, strlen(text));
}

static inline size_t frames_arp(uint8_t frame[64], uint32_t from, const char *source, const char *target)
{
	struct packet_address sender = frames_address(source), wanted = frames_address(target);
	uint8_t *at = frame + PACKET_ETHERNET;

	memset(frame, 0, 64);
	memcpy(frame, frames_broadcast, 6);
	place_hardware(frame + 6, from);
	memcpy(frame + 12, (const uint8_t[]){0x08, 0x06}, 2);
	memcpy(at, (const uint8_t[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
	place_hardware(at + 8, from);
	memcpy(at + 14, &sender.of.v4, 4);
	memcpy(at + 24, &wanted.of.v4, 4);
	return 60;
}
