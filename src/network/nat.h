#pragma once
#include "loop/loop.h"
#include "network/uplink.h"

/*
 * libslirp: the machine's connections are ended here and made again as sockets of this process. What the machine
 * reaches at the router's address is the host's loopback; nothing here asks whether it may.
 */
#define NAT_EVENTS      256   /* sockets that are looked at in one turn of the loop */
#define NAT_SOCKETS_MAX 8192u /* with so many in use no more connections are begun: each has 256 KiB for data */

struct nat;

struct nat_options {
	uint32_t place;    /* of the machine */
	uint16_t resolver; /* port on 127.0.0.1 that the resolver's address leads to, by TCP; 0: nowhere */
	uplink_deliver_fn *deliver;
	void *data;
};

/* To be called before the process is confined. */
MUST_USE int nat_new(struct nat **ret, struct loop *loop, const struct nat_options *options, struct annex_error **err);
void nat_free(struct nat *nat);
static inline void cleanup_nat(struct nat **nat)
{
	nat_free(*nat);
}
#define auto_nat CLEANUP(cleanup_nat)
struct uplink *nat_uplink(struct nat *nat);

/* Whether it is a socket of ours, connected to the resolver, that has this address: so that tells the machine from
 * others. */
bool nat_owns(const struct nat *nat, struct in_addr address, uint16_t port);
