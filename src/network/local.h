#pragma once
#include "loop/loop.h"
#include "network/packet.h"

/*
 * The addresses that the host's kernel delivers to itself, or to a whole link: those of its interfaces, what else its
 * routing tables call local, broadcast and anycast. Kept current by a netlink socket, so that nothing needs opening
 * after confinement.
 */
struct local;

#define LOCAL_LIMIT 16384u /* networks; with more of them every address counts as the host's */

/* Has read them once when it returns. */
MUST_USE int local_new(struct local **ret, struct loop *loop, struct annex_error **err);
void local_free(struct local *local);
static inline void cleanup_local(struct local **local)
{
	local_free(*local);
}
#define auto_local CLEANUP(cleanup_local)

enum local_kind { LOCAL_NOT, LOCAL_OWN, LOCAL_BROADCAST };

enum local_kind local_find(const struct local *local, const struct packet_address *address);
