#pragma once
#include "network/datagrams.h"

/* The way from this host into the machine, as doors and listeners take it: network/ports.h's functions. */
struct way {
	void (*connect)(struct ports *ports, uint16_t port, int fd);
	int (*datagrams_new)(struct datagrams **ret, struct ports *ports, uint16_t port, int fd,
			     datagrams_admit_fn *admit, void *data);
	void (*datagrams_free)(struct datagrams *datagrams);
	/* Ask the machine what listens, and tell listener_set_listening(). False: it can't be asked now. */
	bool (*scan)(struct ports *ports);
};
extern const struct way way_ports;
