#include "test.h"

#include "wire/message.h"

#include <string.h>

static void an_open_request_arrives_whole(void **state)
{
	const char *const argv[] = {"printf", "", "a b\n", NULL}, *const environment[] = {"K=V", NULL},
			  *const forwards[] = {"agent", "listen:/x", NULL};
	struct message_open sent = {.flags = OPEN_TERMINAL,
				    .argv = argv,
				    .environment = environment,
				    .user = "me",
				    .rows = 24,
				    .columns = 80,
				    .forwards = forwards,
				    .terminfo = {"a\0b", 3}},
			    got;
	auto_text struct text wire = {0};
	struct message_reader reader = {0};
	struct message message;
	size_t used = 0;

	(void)state;
	assert_int_equal(message_put(&wire, MESSAGE_OPEN, 9, &sent), 0);
	assert_int_equal(message_read(&reader, &message, (uint8_t *)wire.data, wire.size, &used), FRAME_READY);
	assert_true(message.kind == MESSAGE_OPEN && message.stream == 9 && used == wire.size);
	assert_int_equal(message_get(&got, message.kind, message.payload, message.size), 0);
	assert_string_equal(got.argv[0], "printf");
	assert_string_equal(got.argv[1], "");
	assert_string_equal(got.argv[2], "a b\n");
	assert_null(got.argv[3]);
	assert_string_equal(got.environment[0], "K=V");
	assert_string_equal(got.user, "me");
	assert_string_equal(got.folder, "");
	assert_int_equal(got.columns, 80);
	assert_string_equal(got.forwards[1], "listen:/x");
	assert_null(got.forwards[2]);
	assert_null(got.login[0]);
	assert_int_equal(got.terminfo.size, 3);
	assert_memory_equal(got.terminfo.bytes, "a\0b", 3);
	message_clear(&got, MESSAGE_OPEN);
	message_reader_clear(&reader);
}

static void a_connection_s_number_stands_before_its_bytes(void **state)
{
	const uint8_t head[TRANSFER_HEADER] = {0x01, 0x02, 0x03, 0x80};
	uint8_t payload[TRANSFER_HEADER];
	uint32_t number = 0;

	(void)state;
	message_put_connection(payload, 0x80030201);
	assert_memory_equal(payload, head, sizeof(head));
	assert_int_equal(message_get_connection(&number, head, sizeof(head)), 0);
	assert_int_equal(number, 0x80030201);
	assert_int_equal(message_get_connection(&number, head, 3), -EPROTO);
}

static void a_long_message_goes_in_several_frames(void **state)
{
	auto_free char *big = calloc(1, 300001);
	auto_text struct text wire = {0};
	struct message_reader reader = {0};
	struct message_waiting got;
	struct message message;
	size_t used = 0, at = 0, calls = 0;
	enum frame_result result;

	(void)state;
	memset(big, 'x', 300000);
	assert_int_equal(message_put(&wire, MESSAGE_WAITING, 3, &(struct message_waiting){big}), 0);
	/* It arrives in pieces of 1000 bytes. */
	do {
		size_t there = wire.size < calls * 1000 ? wire.size : calls * 1000;

		result = message_read(&reader, &message, (uint8_t *)wire.data + at, there - at, &used);
		at += used;
		calls++;
	} while (result == FRAME_NEED_MORE && calls < 1000);
	assert_int_equal(result, FRAME_READY);
	assert_int_equal(message_get(&got, message.kind, message.payload, message.size), 0);
	assert_string_equal(got.what, big);
	/* The reader is ready for the next. */
	wire.size = 0;
	assert_int_equal(message_put(&wire, MESSAGE_WATCH, 0, NULL), 0);
	assert_int_equal(message_read(&reader, &message, (uint8_t *)wire.data, wire.size, &used), FRAME_READY);
	assert_int_equal(message.kind, MESSAGE_WATCH);
	message_reader_clear(&reader);
}

static void what_is_too_long_is_refused_by_both_sides(void **state)
{
	auto_free char *big = calloc(1, MESSAGE_MAX + 2);
	auto_text struct text wire = {0};
	struct message_reader reader = {0};
	uint8_t header[FRAME_HEADER];
	struct message message;
	enum frame_result result = FRAME_NEED_MORE;
	size_t used;

	(void)state;
	memset(big, 'x', MESSAGE_MAX + 1);
	assert_int_equal(message_put(&wire, MESSAGE_WAITING, 3, &(struct message_waiting){big}), -EMSGSIZE);
	assert_int_equal(wire.size, 0);
	frame_put_header(header, MESSAGE_WAITING | FRAME_MORE, 1, FRAME_PAYLOAD_MAX);
	text_add_bytes(&wire, header, sizeof(header));
	text_add_bytes(&wire, big, FRAME_PAYLOAD_MAX);
	for (int i = 0; i < 100 && result == FRAME_NEED_MORE; i++)
		result = message_read(&reader, &message, (uint8_t *)wire.data, wire.size, &used);
	assert_int_equal(result, FRAME_BROKEN);
	message_reader_clear(&reader);
}

static void parts_of_two_messages_do_not_mix(void **state)
{
	struct message_reader reader = {0};
	uint8_t bytes[2 * (FRAME_HEADER + 1)] = {0};
	struct message message;
	size_t used;

	(void)state;
	frame_put_header(bytes, MESSAGE_OPEN | FRAME_MORE, 1, 1);
	frame_put_header(bytes + FRAME_HEADER + 1, MESSAGE_OPEN, 2, 1);
	assert_int_equal(message_read(&reader, &message, bytes, sizeof(bytes), &used), FRAME_BROKEN);
	message_reader_clear(&reader);
}

static void a_malformed_body_is_refused(void **state)
{
	static const uint8_t no_nul[] = {1, 0, 0, 0, 'x'}, inner_nul[] = {3, 0, 0, 0, 'x', 0, 0},
			     short_text[] = {9, 0, 0, 0, 0}, empty[] = {0, 0, 0, 0}, rest[] = {1, 0, 0, 0, 0, 0};
	struct message_waiting body;

	(void)state;
	assert_int_equal(message_get(&body, MESSAGE_WAITING, no_nul, sizeof(no_nul)), -EPROTO);
	assert_int_equal(message_get(&body, MESSAGE_WAITING, inner_nul, sizeof(inner_nul)), -EPROTO);
	assert_int_equal(message_get(&body, MESSAGE_WAITING, short_text, sizeof(short_text)), -EPROTO);
	assert_int_equal(message_get(&body, MESSAGE_WAITING, empty, sizeof(empty)), -EPROTO);
	assert_int_equal(message_get(&body, MESSAGE_WAITING, rest, sizeof(rest)), -EPROTO);
	assert_int_equal(message_get(&body, (enum message_kind)999, empty, sizeof(empty)), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_request_arrives_whole),
		cmocka_unit_test(a_connection_s_number_stands_before_its_bytes),
		cmocka_unit_test(a_long_message_goes_in_several_frames),
		cmocka_unit_test(what_is_too_long_is_refused_by_both_sides),
		cmocka_unit_test(parts_of_two_messages_do_not_mix),
		cmocka_unit_test(a_malformed_body_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
