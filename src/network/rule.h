#pragma once
#include "base/error.h"
#include "network/packet.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * One thing that an isolated machine may reach, as `--allow` takes it:
 *
 *	HOST[:PORT]              a name, and whatever addresses it has
 *	*.DOMAIN[:PORT]          all names below it, at any depth; not DOMAIN itself
 *	A.B.C.D[/N][:PORT]       an address or a network
 *	[V6][/N][:PORT]          the same; without a port the brackets may be left out
 *
 * PORT is a number or a range FROM-TO, of TCP and UDP alike; none: all ports, and ICMP echo. Pure.
 */
#define RULE_TEXT_LIMIT 300u /* bytes */
#define RULE_NAME_LIMIT 253u

enum rule_kind {
	RULE_NAME,
	RULE_BELOW, /* `name` is DOMAIN */
	RULE_NETWORK,
};

struct rule {
	enum rule_kind kind;
	char name[RULE_NAME_LIMIT + 1]; /* lower case, no dot at its end */
	struct packet_address address;  /* of RULE_NETWORK; its bits behind the prefix are 0 */
	unsigned prefix;
	uint16_t first, last; /* ports; 0: all of them */
};

/* USAGE, with a hint that shows the right form. What no machine can ever reach (network/reserved.h) is refused too. */
MUST_USE int rule_parse(struct rule *ret, const char *text, struct annex_error **err);
/* The one spelling of it; NULL: out of memory. The caller frees it. */
char *rule_text(const struct rule *rule);

bool rule_has_name(const struct rule *rule, const char *name); /* lower case, no dot at its end */
bool rule_has_address(const struct rule *rule, const struct packet_address *address);
bool rule_has_port(const struct rule *rule, uint16_t port);
