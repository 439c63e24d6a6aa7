#pragma once
#include "base/text.h"
#include "wire/message.h"

/*
 * What a confined program answers to a request of who started it: DONE, FAILURE, or a message of its own, in packets of
 * one frame each. Who gives the answer may have been taken over: it is a stranger's word. Pure.
 */
#define ANSWER_TEXT_LIMIT 2048u /* bytes of an answer's message, and of its hint */

/* The packet of the answer; NULL is DONE. -ENOMEM. */
MUST_USE int answer_encode(struct text *ret, const struct annex_error *err);
/* Of a DONE or FAILURE. *ret_refusal: the error that the answer is, the caller's, or NULL: done. CORRUPT: no answer. */
MUST_USE int answer_decode(struct annex_error **ret_refusal, const struct message *message, struct annex_error **err);
/* The one message that a packet is. -EPROTO. */
MUST_USE int answer_unpack(struct message *ret, const uint8_t *packet, size_t size);
