#pragma once
#include "loop/loop.h"
#include "network/policy.h"
#include "wire/message.h"

/*
 * The machine's resolver. Names of machines, of the host and of its /etc/hosts it knows; all others it asks of the
 * host's resolvers, and passes on what they say. What the machine sends and what comes back are strangers' bytes.
 */
struct dns;

#define DNS_MESSAGE_LIMIT    65535u
#define DNS_QUERY_LIMIT      4096u  /* bytes of a question by UDP */
#define DNS_CONNECTION_LIMIT 64u    /* the machine's, by TCP; beyond: closed at once */
#define DNS_PIPELINE_LIMIT   16u    /* questions of one connection that wait: the next ones are not read */
#define DNS_IDLE_MS          30000u /* of a connection that asks nothing, or reads no answers */
#define DNS_NAME_SIZE        64u    /* of a machine's name, with its NUL */

struct dns_options {
	struct policy *policy; /* outlives the resolver */
	const char *name;      /* of this machine, … */
	uint32_t place;        /* … and its place */
	/* The other machines of its network: the place of a name, the name of a place. False: none. May be NULL. */
	bool (*find)(uint32_t *ret, const char *name, void *data);
	bool (*name_of)(char ret[DNS_NAME_SIZE], uint32_t place, void *data);
	/* The answer to dns_query(); may be called from inside it. */
	void (*reply)(uint64_t from, const uint8_t *message, size_t size, void *data);
	void *data;
};

MUST_USE int dns_new(struct dns **ret, struct loop *loop, const struct dns_options *options, struct annex_error **err);
void dns_free(struct dns *dns);
static inline void cleanup_dns(struct dns **dns)
{
	dns_free(*dns);
}
#define auto_dns CLEANUP(cleanup_dns)

/* One datagram to the resolver; `from` is whatever finds who asked again. Answered once or, when it is no question, or
 * one that waits already, never. */
void dns_query(struct dns *dns, const uint8_t *message, size_t size, uint64_t from);
/* One connection to it, a stream socket; takes the descriptor. */
void dns_serve(struct dns *dns, int fd);
/* How the host looks names up, from now on. What is malformed in it is left out. -ENOMEM: nothing has changed. */
MUST_USE int dns_set_upstream(struct dns *dns, const struct message_network_resolve *resolve);
