#pragma once
#include "annex/session.h"

#include "loop/loop.h"
#include "machine/channel.h"

/* A session's forwards on our side: what is offered to the machine, and the sockets here. */
struct forwarding;

/* Are the sockets that are wanted well-formed? USAGE. */
MUST_USE int forwarding_check(const struct annex_session_options *options, struct annex_error **err);
/* *ret is NULL when nothing is to be forwarded. Makes the sockets that are to be here. `agent`: the SSH agent too, if
 * there is one and the environment doesn't name another. The channel is the session's, `stream` its number there.
 * USAGE, EXISTS, NOT_FOUND (a folder). */
MUST_USE int forwarding_new(struct forwarding **ret, struct loop *loop, struct channel *channel, uint16_t stream,
			    const struct annex_session_options *options, bool agent, struct annex_error **err);
void forwarding_free(struct forwarding *forwarding); /* removes the sockets */

/* For OPEN. NULL is allowed, here and below. */
const char *const *forwarding_offers(const struct forwarding *forwarding);
MUST_USE int forwarding_run(struct forwarding *forwarding);                                   /* take connections */
MUST_USE int forwarding_handle(struct forwarding *forwarding, const struct message *message); /* -EPROTO */
void forwarding_resume(struct forwarding *forwarding); /* the channel has drained */

/* The session has ended: take no more connections. What came is still written, for a while. */
void forwarding_finish(struct forwarding *forwarding);
bool forwarding_has_ended(const struct forwarding *forwarding);
