/* A packet, taken for a request of the supervisor and for an answer of annex-network. */
#include "confine/answer.h"
#include "network/control.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

static bool is_bare(enum message_kind kind)
{
	return kind == MESSAGE_NETWORK_SERVE || kind == MESSAGE_NETWORK_UPLINK || kind == MESSAGE_NETWORK_LIST;
}

/* What is understood is what was said: it is the same packet again. */
static void check_request(const struct message *message, const uint8_t *data, size_t size)
{
	for (unsigned fds = 0; fds <= NETWORK_CONTROL_FDS_LIMIT; fds++) {
		auto_network_request struct network_request request = {0};
		auto_error struct annex_error *err = NULL;
		auto_text struct text again = {0};

		if (network_control_decode(&request, message, fds, &err) < 0) {
			require(err);
			continue;
		}
		require(network_control_encode(&again, request.kind, is_bare(request.kind) ? NULL : &request.body,
					       NULL) == 0);
		require(again.size == size && memcmp(again.data, data, size) == 0);
	}
}

static void check_listed(const struct message *message)
{
	auto_error struct annex_error *err = NULL;
	struct message_network_listed listed;

	if (network_control_decode_listed(&listed, message, &err) < 0) {
		require(err);
		return;
	}
	for (size_t i = 0; listed.ports[i]; i++)
		require(strlen(listed.ports[i]) <= NETWORK_PORT_TEXT_LIMIT);
	message_clear(&listed, MESSAGE_NETWORK_LISTED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message message;

	if (answer_unpack(&message, data, size) < 0)
		return 0;
	check_request(&message, data, size);
	check_listed(&message);
	return 0;
}
