#pragma once
#include "network/door.h"
#include "network/port.h"
#include "network/publish.h"

/*
 * The ports of a machine's own address: one for each protocol and port at which something listens in the machine.
 * Part of listener.c, which knows when.
 */
struct own;

#define OWN_LISTENS_MAX 16u /* addresses of a port that are told */

struct own_port {
	uint8_t protocol;
	uint16_t port;     /* in the machine; on the host too, unless it is moved */
	bool moved;        /* the host gives the port to root only: it is at another */
	int os;            /* why there is no door */
	struct door *door; /* NULL: it can't be had */
};

MUST_USE int own_new(struct own **ret, struct doors *doors, uint32_t place); /* -errno */
void own_free(struct own *own);                                              /* NULL is allowed */
uint32_t own_place(const struct own *own);

/* What listens now: doors of what is gone are closed, and those of what is new opened. True as own_retry(). */
bool own_set(struct own *own, const struct port_socket *sockets, size_t count);
/* Try again for what could not be had, or not where it belongs. True: there still is something that may be had later.
 */
bool own_retry(struct own *own);
/* Close what is in the way of a published port. */
void own_give_way(struct own *own, const struct publish *publish);

const struct own_port *own_at(const struct own *own, size_t index); /* NULL past the end */
/* Fill in what listens in the machine at a port, and who. `ret->listens` is the caller's, other texts are not. */
MUST_USE int own_describe(struct port *ret, const struct own *own, int protocol, uint16_t port); /* -ENOMEM */
