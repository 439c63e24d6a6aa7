#pragma once
#include "wire/message.h"

/* Connections through one session's forwards, as the relay sees them: what either side may send. Pure state, no I/O. */
struct connections;

/* *ret is NULL when there are no forwards. -EPROTO for those that OPEN may not carry, -ENOMEM. */
MUST_USE int connections_new(struct connections **ret, const char *const *forwards);
void connections_free(struct connections *connections);
size_t connections_count(const struct connections *connections); /* that are not over on both sides; NULL: none */

/* Account for CONNECT, TRANSFER, DISCONNECT or CREDIT for a connection. False: its sender broke the protocol.
 * `connections` may be NULL: no such message is allowed then. */
MUST_USE bool connections_judge(struct connections *connections, const struct message *message, bool from_guest);
