#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Bring up the loopback interface and, given an address ("10.0.2.15/24"), the first Ethernet one, with a default route
 * over `gateway` unless that is empty. IPv6 configures itself by router advertisements. */
MUST_USE int network_loopback(struct annex_error **err);
MUST_USE int network_ethernet(const char *address, const char *gateway, struct annex_error **err);

/* "A.B.C.D/N" → address and mask, in network byte order; false when it is none. */
bool network_parse(uint32_t *ret_address, uint32_t *ret_mask, const char *text);
