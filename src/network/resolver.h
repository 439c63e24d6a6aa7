#pragma once
#include "loop/loop.h"
#include "network/question.h"

#include <sys/socket.h>

/*
 * The host's resolvers, asked as the C library's own stub asks them: in order, the next one when one does not answer,
 * or answers that it can't. One that was silent is asked last for a while.
 */
struct resolver;
struct lookup;

#define RESOLVER_SERVER_LIMIT 3u    /* as MAXNS of resolv.conf; those behind are not asked */
#define RESOLVER_LOOKUP_LIMIT 1000u /* under way; beyond: SERVFAIL */
#define RESOLVER_TRY_MS       2000u /* until the next server is asked too */
#define RESOLVER_TCP_TRY_MS   5000u
#define RESOLVER_ROUNDS       2u     /* each server is asked so often, by UDP */
#define RESOLVER_DEADLINE_MS  10000u /* of a lookup, as the stub's two attempts of 5 s */
#define RESOLVER_DOWN_MS      30000u

/* The answer, with the question's id; it may be changed. NULL: nobody gave one. The lookup is gone then. */
typedef void resolver_fn(uint8_t *message, size_t size, void *data);

MUST_USE int resolver_new(struct resolver **ret, struct loop *loop);
void resolver_free(struct resolver *resolver); /* no lookup is under way: asserted */

/* As in struct message_network_resolve; what is malformed is left out. Lookups that are under way begin anew. */
void resolver_set_servers(struct resolver *resolver, const char *const *servers);

/* Never answers from inside. `message` is copied, and its id replaced. -EAGAIN: too many are under way; -ENOENT: there
 * is no server; -ENOMEM. */
MUST_USE int resolver_ask(struct lookup **ret, struct resolver *resolver, const uint8_t *message, size_t size,
			  const struct question *question, bool tcp, resolver_fn *fn, void *data);
void resolver_forget(struct lookup *lookup); /* unanswered; NULL is allowed */

/* "192.0.2.53", "fe80::53%2" with its interface's number, "#PORT" behind. -EINVAL, -ENOMEM. */
MUST_USE int resolver_parse_server(struct sockaddr_storage *ret, const char *text);
