#pragma once
#include "base/text.h"
#include "loop/loop.h"
#include "network/door.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The host's side of a machine's ports: it listens on the machine's own address, 127.88.x.y, at the ports at which
 * something listens in the machine, as long as it does; and where ports are published, all the time. What it accepts
 * goes into the machine by the ports' link. docs/network.md describes it for users.
 */
#define LISTENER_OWN_MAX   4096u   /* ports on the machine's address */
#define LISTENER_SCAN_MS   3000u   /* that the machine's answer is waited for, before what is known is listed */
#define LISTENER_RETRY_MS  10000u  /* after which a port is tried again that somebody else had */
#define LISTENER_MOVED_BY  10000u  /* a port that is for root only is so much higher, if that is free */
#define LISTENER_LISTS_MAX 64u     /* lists that wait for the machine's answer at once */
#define LISTENER_TAKEN     "taken" /* the reason of a port that somebody else has; the caller may know more */

struct listener;

struct listener_options {
	const char *name; /* of the machine, for hints; copied */
	uint32_t place;   /* of the machine: network/address.h */
	uid_t uid;        /* whose connections are taken on the machine's address, beside root's */
	struct ports *ports;
	const struct way *way; /* &way_ports */
};

/* Before the process is confined: what it asks the kernel by is opened here. */
MUST_USE int listener_new(struct listener **ret, struct loop *loop, const struct listener_options *options,
			  struct annex_error **err);
void listener_free(struct listener *listener); /* before the ports are freed; NULL is allowed */

/* What listens in the machine now, as ports.h tells it: sorted. Also each time that the machine was asked. */
void listener_set_listening(struct listener *listener, const struct port_socket *sockets, size_t count);

/*
 * "[IP:]HOST:GUEST[/udp]": all of its ports or none. What is published already is success. EXISTS: one is taken on the
 * host (the message ends with " is taken"), or by another that is published; UNSUPPORTED: it is for root only;
 * NOT_FOUND: no such address; BUSY: too many; USAGE; SYSTEM.
 */
MUST_USE int listener_publish(struct listener *listener, const char *text, struct annex_error **err);
/* What publish_pattern_parse() reads. NOT_FOUND, USAGE. */
MUST_USE int listener_unpublish(struct listener *listener, const char *text, struct annex_error **err);

/* Asks the machine what listens now, and then tells, once, all ports as JSON objects (network/port.h): the published
 * ones, and those of the machine's address; or what is known, when the machine does not answer. From the loop, or from
 * inside this call. `ports` is NULL when memory ran out. BUSY. */
typedef void listener_list_fn(const char *const *ports, void *data);
MUST_USE int listener_list(struct listener *listener, listener_list_fn *fn, void *data, struct annex_error **err);
