#pragma once
#include "base/text.h"
#include "json/json.h"

/*
 * A port that leads from the host into a machine, as PORTS and NETWORK_LISTED carry it and `annex port --format json`
 * prints it: a JSON object.
 */
struct port {
	char *protocol;           /* "tcp", "udp" */
	uint64_t port;            /* in the machine */
	struct text_list listens; /* the addresses there at which something does; none: nothing does */
	uint64_t pid;             /* in the machine; 0: not known, as with those of more than one program */
	char *process;            /* its name, or NULL */
	char *host;               /* where it is on the host: an address, … */
	uint64_t host_port;       /* … and a port; 0: none could be had */
	bool published;           /* because it was asked for; else it is on the machine's own address */
	bool moved;               /* host-port is a high one, since the host gives low ones to root only */
	char *publish;            /* which of the published ones it is, as publish_text() has it; else NULL */
	char *state;              /* "open"; "waiting": nothing listens in the machine; "refused": see the reason */
	char *reason;             /* or NULL */
};

json_t *port_encode(const struct port *port); /* NULL: out of memory */
/* Of an object that a stranger made: every value is one of those above. */
MUST_USE int port_decode(struct port *ret, const json_t *object, const char *what, struct annex_error **err);
void port_clear(struct port *port);
#define auto_port CLEANUP(port_clear)
