#pragma once
#include "base/text.h"
#include "wire/message.h"

/*
 * What the supervisor asks of annex-network: a message of wire/message.h, each of its frames a packet of a Unix socket,
 * with descriptors at the first one. DONE, FAILURE (confine/answer.h) or NETWORK_LISTED answers each, in order. SETUP
 * comes first, then RESOLVE and UPLINK where there is something to tell, then SERVE; behind it the others as the
 * supervisor pleases, and SETUP again, without descriptors, for what changes of it. Pure.
 *
 * annex-network believes what it is asked. The supervisor does not believe the answers: a guest may have taken over who
 * gives them.
 */
#define NETWORK_CONTROL_FDS_LIMIT 2u
#define NETWORK_PORT_TEXT_LIMIT   4096u /* bytes of a port's JSON */

struct network_request {
	enum message_kind kind;
	union {
		struct message_network_setup setup;
		struct message_publish publish;
		struct message_unpublish unpublish;
		struct message_network_resolve resolve;
	} body;
};

/* The frames of a request; USAGE when it is longer than MESSAGE_MAX. */
MUST_USE int network_control_encode(struct text *ret, enum message_kind kind, const void *body,
				    struct annex_error **err);
/* With how many descriptors it came. Texts point into the message. CORRUPT: no request. *ret needs
 * network_request_clear() on success. */
MUST_USE int network_control_decode(struct network_request *ret, const struct message *message, unsigned fd_count,
				    struct annex_error **err);
void network_request_clear(struct network_request *request);
#define auto_network_request CLEANUP(network_request_clear)

/* Which of SETUP's descriptors there are: QEMU's link, and behind it the ports' link. */
bool network_setup_has_ethernet(const struct message_network_setup *setup);
bool network_setup_has_ports(const struct message_network_setup *setup);

/* A NETWORK_LISTED as an answer: texts of UTF-8 without control characters. message_clear() on success. CORRUPT. */
MUST_USE int network_control_decode_listed(struct message_network_listed *ret, const struct message *message,
					   struct annex_error **err);
