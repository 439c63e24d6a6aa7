/* A packet, taken for a request of the supervisor and for an answer of annex-share. */
#include "confine/answer.h"
#include "share/control.h"
#include "share/root.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

static const void *body_of(const struct control_request *request)
{
	return request->kind == MESSAGE_SHARE_SERVE ? NULL : (const void *)&request->body;
}

/* What is understood is what was said: it is the same packet again. */
static void check_request(const uint8_t *data, size_t size)
{
	auto_control_request struct control_request request = {0};
	auto_error struct annex_error *err = NULL;
	auto_text struct text again = {0};

	if (control_decode(&request, data, size, &err) < 0) {
		require(err);
		return;
	}
	require(request.kind != MESSAGE_SHARE_ADD || request.body.add.cache <= SHARE_CACHE_ALWAYS);
	require(control_encode(&again, request.kind, body_of(&request), NULL) == 0);
	require(again.size == size && memcmp(again.data, data, size) == 0);
}

static void check_answer(const uint8_t *data, size_t size)
{
	auto_error struct annex_error *err = NULL, *refusal = NULL;
	struct message message;

	if (answer_unpack(&message, data, size) < 0)
		return;
	if (answer_decode(&refusal, &message, &err) < 0) {
		require(err && !refusal);
		return;
	}
	if (!refusal)
		return;
	require(strlen(annex_error_message(refusal)) <= ANSWER_TEXT_LIMIT);
	require(text_is_utf8(annex_error_message(refusal), strlen(annex_error_message(refusal))));
	for (const char *at = annex_error_message(refusal); *at; at++)
		require((unsigned char)*at >= ' ' && *at != 0x7f);
	require(annex_error_errno(refusal) >= 0 && annex_error_errno(refusal) < 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_request(data, size);
	check_answer(data, size);
	return 0;
}
