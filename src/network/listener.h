#pragma once
#include "base/text.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The host's side of a machine's ports: it listens on the machine's own address, 127.88.x.y, at the ports at which
 * something listens in the machine, as long as it does; and where ports are published, all the time. What it accepts
 * goes into the machine by the ports' link. docs/network.md describes it for users.
 */
#define LISTENER_SOCKETS_MAX   4096u  /* on the machine's address */
#define LISTENER_FLOWS_MAX     4096u  /* peers of UDP ports, at once */
#define LISTENER_FLOW_MS       60000u /* that such a peer is known after its last datagram, or the machine's */
#define LISTENER_ACCEPT_MAX    64u    /* connections of one port that are taken in one turn */
#define LISTENER_SCAN_MS       3000u  /* that the machine's answer is waited for, before what is known is listed */
#define LISTENER_PRIVILEGED    1024u  /* ports below need a right, on most hosts … */
#define LISTENER_PRIVILEGED_TO 10000u /* … and are this much higher where it is not had */

struct listener;

/* The way into the machine (network/ports.h). `address` is where something listens there: "127.0.0.1", "::1". */
struct listener_way {
	/* Carries an accepted connection: takes the descriptor, whatever comes of it. */
	void (*connect)(const char *address, uint16_t port, int fd, void *data);
	/* A peer of a UDP port. *ret_flow is what the others get. Datagrams of the machine come by
	 * listener_datagram(peer); listener_flow_gone(peer) says that there is no flow any more. -errno. */
	int (*flow_new)(void **ret_flow, const char *address, uint16_t port, void *peer, void *data);
	void (*flow_send)(void *flow, const void *bytes, size_t size, void *data); /* may drop it */
	void (*flow_free)(void *flow, void *data);
	/* Ask what listens now: listener_set_listening() follows. */
	void (*scan)(void *data);
};
void listener_datagram(void *peer, const void *bytes, size_t size);
void listener_flow_gone(void *peer);

struct listener_options {
	uint32_t place; /* of the machine: network/address.h */
	uid_t uid;      /* whose connections are taken on the machine's address, beside root's */
	const struct listener_way *way;
	void *data;
};

/* Before the process is confined: what it asks the kernel by is opened here. */
MUST_USE int listener_new(struct listener **ret, struct loop *loop, const struct listener_options *options,
			  struct annex_error **err);
void listener_free(struct listener *listener); /* connections that are made go on; NULL is allowed */

/* What listens in the machine, as PORT_LISTENING has it: a stranger's words. */
void listener_set_listening(struct listener *listener, const char *const *sockets);

/* "[IP:]HOST:GUEST[/udp]": all of its ports or none. EXISTS: it is published already, or taken on the host (the message
 * is LISTENER_TAKEN then, and says where); BUSY: too many; USAGE; SYSTEM. */
MUST_USE int listener_publish(struct listener *listener, const char *text, struct annex_error **err);
#define LISTENER_TAKEN "port %s is taken" /* publish_place() */
/* What publish_pattern_parse() reads. NOT_FOUND, USAGE. Connections that are made go on. */
MUST_USE int listener_unpublish(struct listener *listener, const char *text, struct annex_error **err);

/* Asks the machine what listens now, and then tells, once, all ports as JSON objects (network/port.h), in order of
 * machine's port; or what is known, when the machine does not answer. `ports` is NULL when memory ran out. */
typedef void listener_list_fn(const char *const *ports, void *data);
MUST_USE int listener_list(struct listener *listener, listener_list_fn *fn, void *data, struct annex_error **err);
