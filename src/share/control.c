#include "share/control.h"

#include "confine/answer.h"
#include "share/root.h"

#include <string.h>

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

	if (answer_unpack(&message, packet, size) < 0 || !is_request(message.kind))
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
