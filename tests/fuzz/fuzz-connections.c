/* What two sides that keep to nothing send about a session's connections: odd streams are the guest's. */
#include "supervisor/connections.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

/* The forwards that an OPEN carries take the place of those before. */
static void take_open(struct connections **connections, const struct message *message)
{
	struct connections *made = NULL;
	struct message_open open;

	if (message_get(&open, MESSAGE_OPEN, message->payload, message->size) < 0)
		return;
	if (connections_new(&made, open.forwards) == 0) {
		require(made || !open.forwards[0]);
		connections_free(*connections);
		*connections = made;
	}
	message_clear(&open, MESSAGE_OPEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *const forwards[] = {"agent", "connect:/x", NULL};
	struct connections *connections = NULL;
	struct message_reader reader = {0};
	struct message message;
	size_t used = 0;

	require(connections_new(&connections, forwards) == 0);
	while (message_read(&reader, &message, data, size, &used) == FRAME_READY) {
		size_t before = connections_count(connections), after;

		if (message.kind == MESSAGE_OPEN) {
			take_open(&connections, &message);
		} else {
			bool passes = connections_judge(connections, &message, message.stream % 2);

			after = connections_count(connections);
			require(after <= 2 * (size_t)WIRE_CONNECTIONS_MAX);
			require(passes || after == before);
			require(after <= before || (passes && message.kind == MESSAGE_CONNECT));
		}
		data += used;
		size -= used;
	}
	message_reader_clear(&reader);
	connections_free(connections);
	return 0;
}
