#include "confine/answer.h"

int answer_unpack(struct message *ret, const uint8_t *packet, size_t size)
{
	struct frame frame;
	size_t used = 0;

	if (frame_parse(&frame, packet, size, &used) != FRAME_READY || used != size || frame.more || frame.stream != 0)
		return -EPROTO;
	*ret = (struct message){.kind = frame.kind, .payload = frame.payload, .size = frame.size};
	return 0;
}

int answer_encode(struct text *ret, const struct annex_error *err)
{
	auto_text struct text message = {0}, hint = {0};
	struct message_failure failure = {0};

	if (!err)
		return message_put(ret, MESSAGE_DONE, 0, NULL);
	text_add_clean(&message, annex_error_message(err), ANSWER_TEXT_LIMIT);
	text_add_clean(&hint, annex_error_hint(err) ? annex_error_hint(err) : "", ANSWER_TEXT_LIMIT);
	if (!text_ok(&message) || !text_ok(&hint))
		return -ENOMEM;
	failure = (struct message_failure){.kind = annex_error_kind(err),
					   .os = (uint32_t)annex_error_errno(err),
					   .message = message.data,
					   .hint = hint.data};
	return message_put(ret, MESSAGE_FAILURE, 0, &failure);
}

/* What can go wrong with a request. */
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
	text_add_clean(&message, failure->message, ANSWER_TEXT_LIMIT);
	text_add_clean(&hint, failure->hint, ANSWER_TEXT_LIMIT);
	if (!text_ok(&message) || !text_ok(&hint))
		return -ENOMEM;
	(void)fail_relayed(ret, known_kind(failure->kind), (int)failure->os, message.data, hint.data);
	return 0;
}

int answer_decode(struct annex_error **ret_refusal, const struct message *message, struct annex_error **err)
{
	struct message_failure failure = {0};
	int result = message->kind == MESSAGE_FAILURE && message->stream == 0 ? 0 : -EPROTO;

	if (message->kind == MESSAGE_DONE && message->stream == 0 && message->size == 0) {
		*ret_refusal = NULL;
		return 0;
	}
	if (result == 0)
		result = message_get(&failure, MESSAGE_FAILURE, message->payload, message->size);
	if (result == 0)
		result = take_refusal(ret_refusal, &failure);
	if (result == -ENOMEM)
		return fail_memory(err);
	return result == 0 ? 0 : fail(err, ANNEX_ERROR_CORRUPT, "an answer that is none");
}
