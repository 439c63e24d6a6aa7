#pragma once
#include "loop/loop.h"
#include "network/packet.h"
#include "network/way.h"

#include <sys/types.h>

/*
 * One port of this host that leads into the machine: a socket that listens, and what comes of it. Doors have their
 * loop, the way into the machine and their retries in common.
 */
#define DOOR_ACCEPT_MAX 64u  /* connections that one door takes in a turn of the loop */
#define DOOR_PAUSE_MS   200u /* that none is taken, when the process is out of descriptors or memory */

struct doors;
struct door;

/* uid: who may use private doors, beside root. -errno. Before the process is confined. */
MUST_USE int doors_new(struct doors **ret, struct loop *loop, const struct way *way, struct ports *ports, uid_t uid);
void doors_free(struct doors *doors); /* all must be closed; NULL is allowed */

struct door_options {
	struct packet_address address;
	int protocol;
	uint16_t host; /* 0: a free one */
	uint16_t guest;
	bool is_private; /* only for the user and root; IPv4 */
};
/* -EADDRINUSE: somebody has it; -EACCES: ports like this are for root only; -EADDRNOTAVAIL; others. */
MUST_USE int door_open(struct door **ret, struct doors *doors, const struct door_options *options);
uint16_t door_port(const struct door *door); /* of the host */
void door_close(struct door *door);          /* connections that are made go on; NULL is allowed */
