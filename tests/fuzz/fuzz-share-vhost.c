/* Messages in a row, each behind a byte that says how many descriptors came with it. */
#include "share/vhost.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

/* Only as much as the message said lies behind the pointer, so that sanitizers see who reads more. */
static void read_payload(struct vhost_message *message, const uint8_t *bytes, unsigned descriptors)
{
	auto_free uint8_t *exact = malloc(message->size ? message->size : 1);
	auto_error struct annex_error *err = NULL;
	uint8_t reply[VHOST_REPLY_LIMIT];

	require(exact);
	if (message->size > 0)
		memcpy(exact, bytes, message->size);
	if (vhost_read_payload(message, exact, descriptors, &err) < 0) {
		require(err);
		return;
	}
	require(vhost_request_name(message->request));
	if (vhost_has_reply(message->request))
		require(vhost_write_reply(reply, message) <= sizeof(reply));
	require(vhost_write_acknowledgement(reply, message->request, message->need_reply) <= sizeof(reply));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size > VHOST_HEADER_SIZE) {
		auto_error struct annex_error *err = NULL;
		struct vhost_message message;

		if (vhost_read_header(&message, data + 1, &err) < 0) {
			require(err);
			break;
		}
		require(message.size <= VHOST_PAYLOAD_LIMIT);
		if (size - 1 - VHOST_HEADER_SIZE < message.size)
			break;
		read_payload(&message, data + 1 + VHOST_HEADER_SIZE, data[0]);
		data += 1 + VHOST_HEADER_SIZE + message.size;
		size -= 1 + VHOST_HEADER_SIZE + message.size;
	}
	return 0;
}
