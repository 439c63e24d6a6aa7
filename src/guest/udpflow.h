#pragma once
#include "forward/mux.h"

/*
 * The guest's end of flows of datagrams: for each a socket that is connected to the service, so that this tells the
 * flows' clients apart as it would without annex.
 */
struct udpflows;

MUST_USE int udpflows_new(struct udpflows **ret, struct loop *loop, struct mux *mux); /* -errno */
void udpflows_free(struct udpflows *flows);
void udpflows_end(struct udpflows *flows); /* the link is down */

/* A flow has begun: its socket, or -errno; taken. False: its number is none, or taken. */
MUST_USE bool udpflows_add(struct udpflows *flows, uint32_t number, int fd);
/* PORT_DATAGRAM, and DISCONNECT of a flow. False: it breaks the protocol, or is none of these. */
MUST_USE bool udpflows_handle(struct udpflows *flows, const struct message *message);
