#pragma once
#include "loop/loop.h"
#include "wire/message.h"

#include <sys/socket.h>

/*
 * The host's end of the ports' link: what listens in the machine, and connections to it. It makes no sockets of the
 * host: those that it is given it carries to the guest, which connects to the service.
 *
 * The link begins by the marker and may be down at any time: then nothing listens, and connections are refused. A guest
 * that breaks the protocol loses its link for good.
 */
struct ports;

#define PORTS_FLOWS_MAX \
	1024u               /* of UDP: clients that are remembered; past it the one that was silent for longest goes */
#define PORTS_IDLE_S   120u /* after which a flow is forgotten */
#define PORTS_TEXT_MAX 256u /* bytes of a text in PORT_LISTENING */

/* Something listens in the machine. One for each address: a socket that takes IPv4 too is here as "0.0.0.0" and "::".
 */
struct port_socket {
	uint8_t protocol;    /* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t port;       /* never 0 */
	const char *address; /* "0.0.0.0", "127.0.0.1", "::", "::1", …: numeric, as inet_ntop() writes it */
	uint32_t pid;        /* as the machine counts; 0: not known */
	const char *process; /* its name: printable, may have spaces, may be empty */
};

struct ports_callbacks {
	/* What listens has changed, and is this now: sorted by protocol, port and address, none twice. Count 0 also
	 * when the link goes down. Only from the loop; may call everything here but ports_free(). */
	void (*on_listening)(const struct port_socket *sockets, size_t count, void *data);
};

/* Takes the descriptor, a connected stream socket whose other end is the guest's virtio port, on success. -errno. */
MUST_USE int ports_new(struct ports **ret, struct loop *loop, int fd, const uint8_t marker[WIRE_MARKER],
		       const struct ports_callbacks *callbacks, void *data);
void ports_free(struct ports *ports); /* resets all connections; every struct datagrams must be gone */
/* The guest has begun anew (its machine was reset): so does the link, with another marker. */
void ports_restart(struct ports *ports, const uint8_t marker[WIRE_MARKER]);

bool ports_are_up(const struct ports *ports); /* both ends have found the marker: connections can be made */
/* What on_listening() told last; valid until the loop goes on. */
const struct port_socket *ports_listening(const struct ports *ports, size_t *ret_count);
/* Ask the guest to look now: on_listening() follows if there is news. Costs nothing while it was just asked. */
void ports_scan(struct ports *ports);

/* Carry an accepted TCP connection to what listens at that port of the machine; at which of its addresses is chosen
 * here. The socket is taken in any case: it is reset if the link is down, or too many are carried, or nothing listens
 * there. */
void ports_connect(struct ports *ports, uint16_t port, int fd);

/* Carry the datagrams of a bound UDP socket, which is taken on success: each client is a flow of its own, and gets what
 * the service answers to it. */
struct datagrams;
/* May this client talk to it? Asked once for each new flow; NULL: everybody may. */
typedef bool datagrams_admit_fn(const struct sockaddr_storage *client, void *data);
MUST_USE int datagrams_new(struct datagrams **ret, struct ports *ports, uint16_t port, int fd,
			   datagrams_admit_fn *admit, void *data); /* -errno */
void datagrams_free(struct datagrams *datagrams);                  /* ends its flows */
