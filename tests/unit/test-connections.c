#include "test.h"

#include "supervisor/connections.h"

static const char *const forwards[] = {"agent", "connect:/x", NULL};
static struct text scratch;

static bool judge(struct connections *connections, bool from_guest, enum message_kind kind, const void *body)
{
	struct message message = {.kind = kind, .stream = 1};

	scratch.size = 0;
	assert_int_equal(message_put(&scratch, kind, 1, body), 0);
	message.payload = (const uint8_t *)scratch.data + FRAME_HEADER;
	message.size = scratch.size - FRAME_HEADER;
	return connections_judge(connections, &message, from_guest);
}

static bool connect_to(struct connections *connections, bool from_guest, uint32_t number, uint32_t forward)
{
	return judge(connections, from_guest, MESSAGE_CONNECT, &(struct message_connect){number, forward});
}

static bool transfer(struct connections *connections, bool from_guest, uint32_t number, size_t size)
{
	static uint8_t payload[TRANSFER_HEADER + MESSAGE_DATA_MAX + 1];

	message_put_connection(payload, number);
	return connections_judge(
		connections,
		&(struct message){.kind = MESSAGE_TRANSFER, .payload = payload, .size = TRANSFER_HEADER + size},
		from_guest);
}

static bool credit(struct connections *connections, bool from_guest, uint32_t number, uint32_t bytes)
{
	return judge(connections, from_guest, MESSAGE_CREDIT, &(struct message_credit){number, bytes});
}

static bool disconnect(struct connections *connections, bool from_guest, uint32_t number)
{
	return judge(connections, from_guest, MESSAGE_DISCONNECT, &(struct message_disconnect){number});
}

static struct connections *begin(void)
{
	struct connections *made = NULL;

	assert_int_equal(connections_new(&made, forwards), 0);
	assert_non_null(made);
	return made;
}

static void what_open_may_not_carry_is_refused(void **state)
{
	static const char *const wrong[] = {"", "Agent", "agent:", "listen", "listen:", "listen:x", "connect:./x"};
	const char *many[WIRE_FORWARDS_MAX + 2] = {0};
	struct connections *made = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_int_equal(connections_new(&made, (const char *const[]){wrong[i], NULL}), -EPROTO);
	for (size_t i = 0; i < WIRE_FORWARDS_MAX; i++)
		many[i] = "agent";
	assert_int_equal(connections_new(&made, many), 0);
	connections_free(made);
	many[WIRE_FORWARDS_MAX] = "agent";
	assert_int_equal(connections_new(&made, many), -EPROTO);
	assert_int_equal(connections_new(&made, (const char *const[]){NULL}), 0);
	assert_null(made);
	assert_false(connect_to(made, true, 257, 0));
}

static void only_who_listens_may_begin_connections(void **state)
{
	struct connections *made = begin();

	(void)state;
	assert_true(connect_to(made, true, 257, 0));
	assert_false(connect_to(made, true, 257, 0)); /* in use */
	assert_false(connect_to(made, true, 259, 1)); /* the client listens for that one */
	assert_false(connect_to(made, true, 259, 2)); /* was not offered */
	assert_false(connect_to(made, true, 258, 0)); /* the client's numbers */
	assert_false(connect_to(made, true, 255, 0)); /* not to be taken for a flow */
	assert_true(connect_to(made, false, 256, 1));
	assert_false(connect_to(made, false, 258, 0));
	assert_false(connect_to(made, false, 259, 1));
	assert_int_equal(connections_count(made), 2);
	connections_free(made);
}

static void neither_side_has_more_connections_than_agreed(void **state)
{
	struct connections *made = begin();
	uint32_t number = 257;

	(void)state;
	for (unsigned i = 0; i < WIRE_CONNECTIONS_MAX; i++, number += 2)
		assert_true(connect_to(made, true, number, 0));
	assert_false(connect_to(made, true, number, 0));
	assert_true(connect_to(made, false, 256, 1));
	assert_true(disconnect(made, true, 257));
	assert_false(connect_to(made, true, number, 0)); /* the client may still send to that one */
	assert_true(disconnect(made, false, 257));
	assert_true(connect_to(made, true, number, 0));
	assert_true(connect_to(made, false, 258, 1));
	connections_free(made);
}

static void neither_side_may_pass_a_connection_s_window(void **state)
{
	struct connections *made = begin();

	(void)state;
	assert_true(connect_to(made, true, 257, 0));
	assert_true(connect_to(made, true, 259, 0));
	for (int guest = 0; guest < 2; guest++) {
		assert_false(credit(made, !guest, 257, 1));
		for (unsigned i = 0; i < WIRE_CONNECTION_WINDOW / MESSAGE_DATA_MAX; i++)
			assert_true(transfer(made, guest, 257, MESSAGE_DATA_MAX));
		assert_true(transfer(made, guest, 259, MESSAGE_DATA_MAX)); /* has its own */
		assert_true(credit(made, !guest, 257, 10));
		assert_false(credit(made, !guest, 257, WIRE_CONNECTION_WINDOW - 9));
		assert_true(transfer(made, guest, 257, 10));
		assert_false(transfer(made, guest, 257, 1));
	}
	assert_false(transfer(made, true, 259, MESSAGE_DATA_MAX + 1));
	connections_free(made);
}

static void nothing_follows_an_end(void **state)
{
	struct connections *made = begin();

	(void)state;
	assert_true(connect_to(made, true, 257, 0));
	assert_true(transfer(made, true, 257, 5));
	assert_true(transfer(made, true, 257, 0));
	assert_false(transfer(made, true, 257, 5));
	assert_true(transfer(made, false, 257, 5)); /* the other way still goes on */
	assert_true(disconnect(made, false, 257));
	assert_false(transfer(made, false, 257, 5));
	assert_false(credit(made, false, 257, 5));
	assert_false(disconnect(made, false, 257));
	assert_true(credit(made, true, 257, 5)); /* the guest has not heard of it yet */
	assert_true(disconnect(made, true, 257));
	assert_int_equal(connections_count(made), 0);
	assert_false(transfer(made, true, 257, 5));
	assert_true(connect_to(made, true, 257, 0)); /* free again */
	connections_free(made);
}

static void what_is_malformed_is_refused(void **state)
{
	struct connections *made = begin();
	static const uint8_t bytes[16];

	(void)state;
	assert_false(judge(made, true, MESSAGE_RESIZE, &(struct message_resize){24, 80})); /* not about connections */
	for (unsigned kind = MESSAGE_CREDIT; kind <= MESSAGE_DISCONNECT; kind++) {
		for (size_t size = 0; size <= sizeof(bytes); size++)
			assert_false(connections_judge(
				made, &(struct message){.kind = kind, .payload = bytes, .size = size}, true));
	}
	connections_free(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_open_may_not_carry_is_refused),
		cmocka_unit_test(only_who_listens_may_begin_connections),
		cmocka_unit_test(neither_side_has_more_connections_than_agreed),
		cmocka_unit_test(neither_side_may_pass_a_connection_s_window),
		cmocka_unit_test(nothing_follows_an_end),
		cmocka_unit_test(what_is_malformed_is_refused),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	text_clear(&scratch);
	return failed;
}
