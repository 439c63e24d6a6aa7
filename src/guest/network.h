#pragma once
#include "base/error.h"
#include "wire/message.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The machine's interfaces, before its init runs. Nothing on the way configures itself: no router is listened to, and
 * an address is not looked for among others, since the host gives it to one machine only.
 */
MUST_USE int network_loopback(struct annex_error **err);
/* The first Ethernet interface, whose name is then in `ret`: address, routes, size of packets. */
MUST_USE int network_ethernet(char ret[IFNAMSIZ], const struct message_config *config, struct annex_error **err);

struct network_address {
	int family; /* AF_INET, AF_INET6 */
	size_t size;
	uint8_t bytes[16]; /* as on the wire */
	unsigned prefix;
};
/* "A.B.C.D/N" or "X::Y/N"; without "/N" the prefix is all of it. False when it is none. Pure. */
MUST_USE bool network_parse(struct network_address *ret, const char *text);
