#pragma once
#include "network/ports.h"

#include <sys/socket.h>

/*
 * UDP sockets of the host whose datagrams go to a port of the machine. Each client is a flow of its own: what the
 * service answers goes back to who asked. Datagrams are lost where there is no room, as UDP's are.
 */
struct datagrams;

#define FLOW_IDLE_S 120u /* after which it is forgotten */

/* May this client talk to it? Asked for each new flow, and again for one that goes on whenever something came. */
typedef bool datagrams_admit_fn(const struct sockaddr_storage *client, void *data);

/* Takes a bound socket on success. `admit` NULL: everybody may. -errno. */
MUST_USE int datagrams_new(struct datagrams **ret, struct ports *ports, uint16_t port, int fd,
			   datagrams_admit_fn *admit, void *data);
void datagrams_free(struct datagrams *datagrams); /* ends its flows */

/* For network/ports.c: all flows of a link, WIRE_PORT_FLOWS_MAX at most; then who was silent for longest goes. */
struct mux;
MUST_USE int flows_new(struct flows **ret, struct loop *loop, struct mux *mux);
void flows_free(struct flows *flows);
void flows_end(struct flows *flows); /* the link is down */
/* PORT_DATAGRAM, and DISCONNECT of a flow. False: it breaks the protocol, or is none of these. */
MUST_USE bool flows_handle(struct flows *flows, const struct message *message);
