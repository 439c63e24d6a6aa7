#pragma once
#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A machine's place: 16 bits x.y, its own for its life, no two machines of a user alike. All its addresses have them at
 * their end:
 *
 *	127.88.x.y             on the host: its ports
 *	198.19.x.y/16          its interface. Nobody routes 198.18.0.0/15 (RFC 2544), so it hides nothing that is real
 *	fd61:6e6e:6578::xy/64  the same for IPv6 (RFC 4193)
 *	02:61:6e:78:xx:yy      the interface's hardware address
 *
 * The places from 255.0 on are annex's own: what it is for a machine itself.
 */
#define PLACE_GATEWAY 0xff01u /* the router, and the host: host.annex.internal */
#define PLACE_DNS     0xff35u /* the resolver */
#define PLACE_OWN     0xff00u /* from here on no machine's; and none has y = 0 or 255, or x = 0 */

#define ADDRESS_DOMAIN  "annex.internal"
#define ADDRESS_HOST    "host." ADDRESS_DOMAIN
#define ADDRESS_PREFIX  16u
#define ADDRESS_PREFIX6 64u
#define ADDRESS_MTU     65520u /* what goes outside ends at annex: there is no smaller one on the way */
#define ADDRESS_TEXT    64u

bool place_is_valid(uint32_t place); /* for a machine */
struct in_addr place_host(uint32_t place);
struct in_addr place_guest(uint32_t place);
struct in6_addr place_guest6(uint32_t place);
void place_hardware(uint8_t ret[6], uint32_t place);
/* "127.88.x.y"; the text is in `buffer`. */
const char *place_host_text(char buffer[ADDRESS_TEXT], uint32_t place);
const char *place_guest_text(char buffer[ADDRESS_TEXT], uint32_t place);
const char *place_guest6_text(char buffer[ADDRESS_TEXT], uint32_t place);
/* The place of an address of one of these kinds. False: it is none. */
MUST_USE bool place_of_host(uint32_t *ret, struct in_addr address);
MUST_USE bool place_of_guest(uint32_t *ret, struct in_addr address);
MUST_USE bool place_of_guest6(uint32_t *ret, const struct in6_addr *address);
MUST_USE bool place_of_hardware(uint32_t *ret, const uint8_t address[6]);
