#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Something listens in the machine. One for each address: a socket that takes IPv4 too is here as "0.0.0.0" and "::".
 */
struct port_socket {
	uint8_t protocol;    /* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t port;       /* never 0 */
	const char *address; /* "0.0.0.0", "127.0.0.1", "::", "::1", …: numeric, as inet_ntop() writes it */
	uint32_t pid;        /* as the machine counts; 0: not known */
	const char *process; /* its name: printable, may have spaces, may be empty */
};

/* What listens, as PORT_LISTENING tells it (wire/message.h): sorted by protocol, port and address, none twice. */
struct services {
	struct port_socket *sockets;
	size_t count;
	char *texts; /* that they point into */
};

/* -EPROTO: a text is none, or they are too many; -ENOMEM. */
MUST_USE int services_parse(struct services *ret, const char *const *texts);
void services_clear(struct services *services);

/* Where to connect to: of several addresses the one that most would mean. Empty: nothing listens at that port. */
const char *services_address(const struct services *services, uint8_t protocol, uint16_t port);
