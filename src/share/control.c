#include "share/control.h"

#include "share/root.h"

#include <string.h>

/* The one message that a packet is. */
static int unpack(struct message *ret, const uint8_t *packet, size_t size)
{
	struct frame frame;
	size_t used = 0;

	if (frame_parse(&frame, packet, size, &used) != FRAME_READY || used != size || frame.more || frame.stream != 0)
		return -EPROTO;
	*ret = (struct message){.kind = frame.kind, .payload = frame.payload, .size = frame.size};
	return 0;
}

int control_encode(struct text *ret, enum message_kind kind, const void *body, struct annex_error **err)
{
	auto_text struct text packet = {0};
	int result = message_put(&packet, kind, 0, body);

	if (result == -EMSGSIZE || packet.size > CONTROL_LIMIT)
		return fail(err, ANNEX_ERROR_USAGE, "a share's name and masks take more than %u KiB",
			    CONTROL_LIMIT >> 10);
	if (result < 0)
		return fail_memory(err);
	text_add_bytes(ret, packet.data, packet.size);
	return text_ok(ret) ? 0 : fail_memory(err);
}

static bool is_request(unsigned kind)
{
	return kind >= MESSAGE_SHARE_SETUP && kind <= MESSAGE_SHARE_LEAVE;
}

int control_decode(struct control_request *ret, const uint8_t *packet, size_t size, struct annex_error **err)
{
	auto_control_request struct control_request request = {0};
	struct message message;
	int result;

	if (unpack(&message, packet, size) < 0 || !is_request(message.kind))
		return fail(err, ANNEX_ERROR_CORRUPT, "a packet that is no request");
	result = message_get(&request.body, message.kind, message.payload, message.size);
	if (result == -ENOMEM)
		return fail_memory(err);
	if (result < 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s makes no sense", message_name(message.kind));
	request.kind = message.kind;
	if (request.kind == MESSAGE_SHARE_ADD && request.body.add.cache > SHARE_CACHE_ALWAYS)
		return fail(err, ANNEX_ERROR_CORRUPT, "an unknown way to cache");
	if ((request.kind == MESSAGE_SHARE_SETUP && request.body.setup.number > UINT16_MAX) ||
	    (request.kind == MESSAGE_SHARE_JOIN &&
	     (request.body.join.number == 0 || request.body.join.number > UINT16_MAX)))
		return fail(err, ANNEX_ERROR_CORRUPT, "a process of a number that can't be");
	*ret = request;
	request = (struct control_request){0};
	return 0;
}

void control_clear(struct control_request *request)
{
	if (request->kind)
		message_clear(&request->body, request->kind);
}

int control_encode_answer(struct text *ret, const struct annex_error *err)
{
	auto_text struct text message = {0}, hint = {0};
	struct message_failure failure = {0};

	if (!err)
		return message_put(ret, MESSAGE_DONE, 0, NULL);
	text_add_clean(&message, annex_error_message(err), CONTROL_TEXT_LIMIT);
	text_add_clean(&hint, annex_error_hint(err) ? annex_error_hint(err) : "", CONTROL_TEXT_LIMIT);
	if (!text_ok(&message) || !text_ok(&hint))
		return -ENOMEM;
	failure = (struct message_failure){.kind = annex_error_kind(err),
					   .os = (uint32_t)annex_error_errno(err),
					   .message = message.data,
					   .hint = hint.data};
	return message_put(ret, MESSAGE_FAILURE, 0, &failure);
}

/* What can go wrong with a share. */
static unsigned known_kind(unsigned kind)
{
	switch (kind) {
	case ANNEX_ERROR_USAGE:
	case ANNEX_ERROR_NOT_FOUND:
	case ANNEX_ERROR_EXISTS:
	case ANNEX_ERROR_UNSUPPORTED:
	case ANNEX_ERROR_NO_MEMORY:
		return kind;
	default:
		return ANNEX_ERROR_SYSTEM;
	}
}

static int take_refusal(struct annex_error **ret, const struct message_failure *failure)
{
	auto_text struct text message = {0}, hint = {0};

	if (failure->os > 4095 || !*failure->message)
		return -EPROTO;
	text_add_clean(&message, failure->message, CONTROL_TEXT_LIMIT);
	text_add_clean(&hint, failure->hint, CONTROL_TEXT_LIMIT);
	if (!text_ok(&message) || !text_ok(&hint))
		return -ENOMEM;
	(void)fail_relayed(ret, known_kind(failure->kind), (int)failure->os, message.data, hint.data);
	return 0;
}

int control_decode_answer(struct annex_error **ret_refusal, const uint8_t *packet, size_t size,
			  struct annex_error **err)
{
	struct message_failure failure = {0};
	struct message message;
	int result = unpack(&message, packet, size);

	if (result == 0 && message.kind == MESSAGE_DONE && message.size == 0) {
		*ret_refusal = NULL;
		return 0;
	}
	if (result == 0 && message.kind != MESSAGE_FAILURE)
		result = -EPROTO;
	if (result == 0)
		result = message_get(&failure, MESSAGE_FAILURE, message.payload, message.size);
	if (result == 0)
		result = take_refusal(ret_refusal, &failure);
	if (result == -ENOMEM)
		return fail_memory(err);
	return result == 0 ? 0 : fail(err, ANNEX_ERROR_CORRUPT, "an answer that is none");
}
