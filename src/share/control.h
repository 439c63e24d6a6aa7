#pragma once
#include "base/text.h"
#include "wire/message.h"

/*
 * What the supervisor asks of annex-share: one message of wire/message.h in a packet of a Unix socket, with
 * descriptors; each is answered by DONE or FAILURE (confine/answer.h), in order. SETUP comes first, then an ADD for
 * each share that is there from the start, then SERVE; behind it the others as it pleases. Pure.
 *
 * annex-share believes what it is asked. The supervisor does not believe the answers: a guest may have taken over who
 * gives them.
 */
#define CONTROL_DEVICE_FD 4 /* in annex-share: the front end's connection, beside PEER_FD */
#define CONTROL_LIMIT     FRAME_MAX

struct control_request {
	enum message_kind kind;
	union {
		struct message_share_setup setup;
		struct message_share_add add;
		struct message_share_remove remove;
		struct message_share_join join;
		struct message_share_leave leave;
	} body;
};

/* The packet of a request; USAGE when it is longer than CONTROL_LIMIT. */
MUST_USE int control_encode(struct text *ret, enum message_kind kind, const void *body, struct annex_error **err);
/* Texts point into the packet. CORRUPT: no request. *ret needs control_clear() on success. */
MUST_USE int control_decode(struct control_request *ret, const uint8_t *packet, size_t size, struct annex_error **err);
void control_clear(struct control_request *request);
#define auto_control_request CLEANUP(control_clear)
