#pragma once
#include "wire/message.h"

/*
 * Sessions between clients and the guest: who is who on either link, and what either side may send. Pure state, no I/O;
 * an owner is a client by its address, never looked into.
 */
#define RELAY_SESSIONS_MAX       1024u /* of a machine, detached ones included */
#define RELAY_OWNER_SESSIONS_MAX 64u   /* of one client */

struct relay;

MUST_USE int relay_new(struct relay **ret); /* -ENOMEM */
void relay_free(struct relay *relay);

enum relay_result {
	RELAY_PASS,   /* pass it on, to route.owner on route.stream or to the guest on route.guest */
	RELAY_KEEP,   /* what a detached session has written: it is to be kept */
	RELAY_DROP,   /* nobody is left to get it, or it is for a session that has just ended */
	RELAY_BROKEN, /* its sender broke the protocol */
	RELAY_FULL,   /* an OPEN too many */
};

struct relay_route {
	const void *owner; /* NULL: it is gone */
	uint16_t stream;   /* on the owner's link */
	uint16_t guest;    /* on the guest's link */
	/* Credit that the guest gets at once, because its data was kept or dropped. */
	enum message_kind credit_flow;
	uint32_t credit;
};

/* Judge a message of a client or the guest on a stream other than 0, and account for it. Only what its sender may send
 * passes, and only well-formed. EXIT and FAILURE end the session. */
enum relay_result relay_from_client(struct relay *relay, struct relay_route *ret, const void *owner,
				    const struct message *message);
enum relay_result relay_from_guest(struct relay *relay, struct relay_route *ret, const struct message *message);

/* The client is gone: gives, one a call, its sessions that the guest must be told HANGUP about, with the credit to give
 * for what the client had not returned. */
struct relay_hangup {
	uint16_t guest;
	uint32_t output, errors;
};
bool relay_abandon(struct relay *relay, const void *owner, struct relay_hangup *ret);
/* The guest is gone: gives the sessions one by one, ending them. */
bool relay_take(struct relay *relay, struct relay_route *ret);

size_t relay_count(const struct relay *relay);
size_t relay_owner_count(const struct relay *relay, const void *owner);
/* Connections through forwards that are not over on both sides. */
size_t relay_owner_connections(const struct relay *relay, const void *owner);
