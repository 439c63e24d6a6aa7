#pragma once
#include "base/error.h"
#include "network/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A port of the machine that is published on the host: "[IP:]HOST:GUEST[/tcp|/udp]". IP is where the host listens:
 * 127.0.0.1 unless another is written; IPv6 in brackets. HOST and GUEST are ports, or ranges of as many ("8000-8010");
 * HOST empty or 0: free ones are chosen. One word, "8080", is the same port on both sides. Pure.
 */
#define PUBLISH_TEXT_LIMIT 128u  /* bytes */
#define PUBLISH_PORTS_MAX  1024u /* ports of a machine, over all that it publishes */
#define PUBLISH_DEFAULT    "127.0.0.1"

struct publish {
	struct packet_address address;
	int protocol;  /* IPPROTO_TCP, IPPROTO_UDP */
	uint16_t host; /* the first port; 0: each is a free one */
	uint16_t guest;
	uint16_t count; /* at least 1 */
};

/* USAGE with a hint that shows the right form. */
MUST_USE int publish_parse(struct publish *ret, const char *text, struct annex_error **err);
/* The one spelling of it: without what goes without saying; NULL: out of memory. The caller frees it. */
char *publish_text(const struct publish *publish);
/* Orders them by host's port, address, protocol, machine's port; 0: the same. */
int publish_compare(const struct publish *a, const struct publish *b);
/* Do they need one socket? */
bool publish_collides(const struct publish *a, const struct publish *b);
/* Are they the same ports of the host, so that one can take the other's place? */
bool publish_takes_place(const struct publish *a, const struct publish *b);
/* "127.0.0.1:8080", as people write where something listens; "/udp" behind it if it is that. `buffer` is returned. */
#define PUBLISH_PLACE_TEXT 80u
const char *publish_place(char buffer[PUBLISH_PLACE_TEXT], const struct packet_address *address, uint16_t port,
			  int protocol);

/* What is to be published no longer: the same, in which IP, GUEST, and the protocol may be left out and stand for any
 * then. */
struct publish_pattern {
	struct publish publish;
	bool any_address, any_guest, any_protocol;
};
MUST_USE int publish_pattern_parse(struct publish_pattern *ret, const char *text, struct annex_error **err);
bool publish_matches(const struct publish_pattern *pattern, const struct publish *publish);
