#pragma once
#include "loop/loop.h"
#include "network/services.h"
#include "wire/message.h"

/*
 * The host's end of the ports' link: what listens in the machine, and connections to it. It makes no sockets of the
 * host: those that it is given it carries to the guest, which connects to the service.
 *
 * The link begins by the marker and may be down at any time: then nothing listens, and connections are refused. A guest
 * that breaks the protocol loses its link for good.
 */
struct ports;
struct mux;
struct flows;

struct ports_callbacks {
	/* What listens has changed, and is this now: sorted by protocol, port and address, none twice. Count 0 also
	 * when the link goes down. Only from the loop; may call everything here but ports_free(). */
	void (*on_listening)(const struct port_socket *sockets, size_t count, void *data);
};

/* The descriptor is a connected stream socket whose other end is the guest's virtio port; taken, also on failure.
 * -errno. */
MUST_USE int ports_new(struct ports **ret, struct loop *loop, int fd, const uint8_t marker[WIRE_MARKER],
		       const struct ports_callbacks *callbacks, void *data);
void ports_free(struct ports *ports); /* resets all connections; every struct datagrams must be gone */

bool ports_are_up(const struct ports *ports); /* both ends have found the marker: connections can be made */
/* Ask the guest to look now: on_listening() follows if there is news. Nothing is asked twice before it has answered. */
void ports_scan(struct ports *ports);

/* Carry an accepted TCP connection to what listens at that port of the machine; at which of its addresses is chosen
 * here. The socket is taken in any case: it is reset if the link is down, or too many are carried, or nothing listens
 * there. */
void ports_connect(struct ports *ports, uint16_t port, int fd);

/* For network/datagrams.h. */
struct flows *ports_flows(struct ports *ports);
const struct services *ports_services(const struct ports *ports);
