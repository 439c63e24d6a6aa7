#pragma once
#include "network/address.h"
#include "network/uplink.h"

/*
 * Where frames go. What the machine sends is believed to come from its own addresses only; what comes for it from the
 * outside is not believed to come from annex or another machine.
 */
struct gateway;

/* The others. */
struct gateway_ways {
	/* To the machine: in two pieces. */
	void (*deliver)(const uint8_t *header, size_t header_size, const uint8_t *rest, size_t size, void *data);
	/* May this go outside? Of packets for neither annex's own addresses nor other machines. */
	bool (*allows)(const struct packet *packet, void *data);
	/* A datagram to the resolver; gateway_reply() answers it, from inside it or later. */
	void (*resolve)(const uint8_t *message, size_t size, uint64_t from, void *data);
	/* Does `outside` carry IPv6? Where not, `services` refuses it at once. NULL: it does. */
	bool (*carries6)(void *data);
	bool (*has)(uint32_t place, void *data);               /* another machine */
	void (*pass)(const struct packet *packet, void *data); /* to the one whose hardware address it is for */
};

struct gateway_options {
	uint32_t place;
	bool host_access; /* the router's address leads to the host's loopback */
	const struct gateway_ways *ways;
	void *data;
};

MUST_USE int gateway_new(struct gateway **ret, const struct gateway_options *options, struct annex_error **err);
void gateway_free(struct gateway *gateway);
static inline void cleanup_gateway(struct gateway **gateway)
{
	gateway_free(*gateway);
}
#define auto_gateway CLEANUP(cleanup_gateway)

void gateway_set_host_access(struct gateway *gateway, bool host_access);
/* Stay the caller's. `outside` carries what goes outside, NULL: that is lost; `host` what goes to the host's loopback,
 * NULL: as what goes outside; `services` TCP to the resolver, NULL: it refuses. */
void gateway_set_outside(struct gateway *gateway, struct uplink *outside);
void gateway_set_host(struct gateway *gateway, struct uplink *host, struct uplink *services);

void gateway_take(struct gateway *gateway, const uint8_t *frame, size_t size); /* the machine sent it */
void gateway_settle(struct gateway *gateway);                                  /* behind some of these */
void gateway_hold(struct gateway *gateway, bool hold);                         /* the machine takes less than comes */
/* An uplink's frame. */
void gateway_give(struct gateway *gateway, const uint8_t *frame, size_t size);
/* Another machine's, which the switch has looked at. */
void gateway_give_peer(struct gateway *gateway, const struct packet *packet);
/* The resolver's answer to who it came `from`. */
void gateway_reply(struct gateway *gateway, const uint8_t *message, size_t size, uint64_t from);
