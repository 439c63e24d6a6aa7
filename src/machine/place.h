#pragma once
#include "machine/record.h"

/*
 * Where a machine's place (network/address.h) comes from: chosen once, from a hash of who the user is and which machine
 * it is, so that neither two users' machines nor those of two hosts tend to be alike; what another machine of the user
 * has, or a socket of anybody on this host is bound to, is passed over.
 */

/* The lock under which places are given, and networks made and deleted: DATA/network.lock. The descriptor is the
 * caller's. */
MUST_USE int machine_place_lock(int *ret, const char *data, struct annex_error **err);
/* For a machine that is new; until its record is among the others, the lock must be held. EXISTS: none is left. */
MUST_USE int machine_place_choose(uint32_t *ret, const char *data, const char *id, struct annex_error **err);
/* Before a start: a record of an annex that gave no place gets one, and so does the younger of two machines that have
 * the same, as a folder that was copied by hand does. Saves the record if it has changed it. */
MUST_USE int machine_place_settle(struct machine_record *record, const struct machine_paths *paths,
				  struct annex_error **err);

/* Mark in `used`, a bit for each place, those that lines of /proc/net/tcp, tcp6, udp or udp6 are bound to. Pure. */
#define MACHINE_PLACES 65536u
void machine_place_mark_line(uint8_t used[MACHINE_PLACES / 8], const char *line);
