#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message_reader reader = {0};
	struct message message;
	size_t used = 0;

	while (message_read(&reader, &message, data, size, &used) == FRAME_READY) {
		union {
			struct message_config config;
			struct message_state state;
			struct message_open open;
		} body;

		if (message_get(&body, message.kind, message.payload, message.size) == 0)
			message_clear(&body, message.kind);
		data += used;
		size -= used;
	}
	message_reader_clear(&reader);
	return 0;
}
