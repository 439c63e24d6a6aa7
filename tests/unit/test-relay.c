#include "test.h"

#include "supervisor/relay.h"

static int alice, bob; /* owners are addresses */

static struct text scratch;

/* A message of a client or the guest; valid until the next one. */
static struct message make(enum message_kind kind, uint16_t stream, const void *body)
{
	scratch.size = 0;
	assert_int_equal(message_put(&scratch, kind, stream, body), 0);
	return (struct message){.kind = kind,
				.stream = stream,
				.payload = (const uint8_t *)scratch.data + FRAME_HEADER,
				.size = scratch.size - FRAME_HEADER};
}

static struct message make_data(enum message_kind kind, uint16_t stream, size_t size)
{
	static const uint8_t bytes[MESSAGE_DATA_MAX + 1];

	return (struct message){.kind = kind, .stream = stream, .payload = bytes, .size = size};
}

static struct message make_credit(uint16_t stream, enum message_kind channel, uint32_t bytes)
{
	return make(MESSAGE_CREDIT, stream, &(struct message_credit){channel, bytes});
}

static enum relay_result client(struct relay *relay, struct relay_route *route, const void *owner,
				struct message message)
{
	return relay_from_client(relay, route, owner, &message);
}

static enum relay_result guest(struct relay *relay, struct relay_route *route, struct message message)
{
	return relay_from_guest(relay, route, &message);
}

static uint16_t opened(struct relay *relay, const void *owner, uint16_t stream, uint32_t flags)
{
	struct relay_route route = {0};

	assert_int_equal(
		client(relay, &route, owner, make(MESSAGE_OPEN, stream, &(struct message_open){.flags = flags})),
		RELAY_PASS);
	assert_int_equal(guest(relay, &route, make(MESSAGE_OPENED, route.guest, &(struct message_opened){"7"})),
			 RELAY_PASS);
	assert_ptr_equal(route.owner, owner);
	assert_int_equal(route.stream, stream);
	return route.guest;
}

static void two_clients_may_use_the_same_stream_number(void **state)
{
	struct relay_route route = {0};
	struct relay *relay = NULL;
	uint16_t one, two;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	one = opened(relay, &alice, 1, 0);
	two = opened(relay, &bob, 1, 0);
	assert_int_not_equal(one, two);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, two, 5)), RELAY_PASS);
	assert_ptr_equal(route.owner, &bob);
	assert_int_equal(client(relay, &route, &alice, make_data(MESSAGE_INPUT, 1, 5)), RELAY_PASS);
	assert_int_equal(route.guest, one);
	assert_int_equal(guest(relay, &route, make(MESSAGE_EXIT, one, &(struct message_exit){0})), RELAY_PASS);
	assert_int_equal(relay_count(relay), 1);
	relay_free(relay);
}

static void neither_side_may_pass_the_window(void **state)
{
	struct relay_route route = {0};
	struct relay *relay = NULL;
	uint16_t one;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	one = opened(relay, &alice, 1, 0);
	for (unsigned i = 0; i < WIRE_WINDOW / MESSAGE_DATA_MAX; i++) {
		assert_int_equal(client(relay, &route, &alice, make_data(MESSAGE_INPUT, 1, MESSAGE_DATA_MAX)),
				 RELAY_PASS);
		assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, one, MESSAGE_DATA_MAX)), RELAY_PASS);
	}
	assert_int_equal(client(relay, &route, &alice, make_credit(1, MESSAGE_OUTPUT, 10)), RELAY_PASS);
	assert_int_equal(guest(relay, &route, make_credit(one, MESSAGE_INPUT, 10)), RELAY_PASS);
	assert_int_equal(client(relay, &route, &alice, make_data(MESSAGE_INPUT, 1, 10)), RELAY_PASS);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, one, 10)), RELAY_PASS);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_ERRORS, one, 10)), RELAY_PASS);
	assert_int_equal(client(relay, &route, &alice, make_data(MESSAGE_INPUT, 1, 1)), RELAY_BROKEN);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, one, 1)), RELAY_BROKEN);
	relay_free(relay);
}

static void credit_for_what_was_not_sent_is_refused(void **state)
{
	struct relay_route route = {0};
	struct relay *relay = NULL;
	uint16_t one;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	one = opened(relay, &alice, 1, 0);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, one, 10)), RELAY_PASS);
	assert_int_equal(client(relay, &route, &alice, make_credit(1, MESSAGE_OUTPUT, 11)), RELAY_BROKEN);
	assert_int_equal(client(relay, &route, &alice, make_credit(1, MESSAGE_INPUT, 0)), RELAY_BROKEN);
	assert_int_equal(guest(relay, &route, make_credit(one, MESSAGE_INPUT, 1)), RELAY_BROKEN);
	assert_int_equal(guest(relay, &route, make_credit(one, MESSAGE_OUTPUT, 0)), RELAY_BROKEN);
	relay_free(relay);
}

static void the_guest_must_know_its_streams_and_a_client_may_be_late(void **state)
{
	struct relay_route route = {0};
	struct relay *relay = NULL;
	uint16_t one;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, 9, 1)), RELAY_BROKEN);
	one = opened(relay, &alice, 1, 0);
	assert_int_equal(guest(relay, &route, make(MESSAGE_OPENED, one, &(struct message_opened){"7"})), RELAY_BROKEN);
	assert_int_equal(guest(relay, &route, make(MESSAGE_EXIT, one, &(struct message_exit){0})), RELAY_PASS);
	assert_int_equal(guest(relay, &route, make(MESSAGE_EXIT, one, &(struct message_exit){0})), RELAY_BROKEN);
	assert_int_equal(client(relay, &route, &alice, make_data(MESSAGE_INPUT, 1, 1)), RELAY_DROP);
	assert_int_equal(client(relay, &route, &alice, make_credit(1, MESSAGE_OUTPUT, 4)), RELAY_DROP);
	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_EXIT, 1, &(struct message_exit){0})), RELAY_BROKEN);
	relay_free(relay);
}

static void connections_are_the_session_s_that_offered_them(void **state)
{
	static const char *const offers[] = {"agent", NULL};
	const struct message_open open = {.forwards = offers}, detached = {.flags = OPEN_DETACH, .forwards = offers},
				  wrong = {.forwards = (const char *const[]){"agent", "/x", NULL}};
	const struct message_connect connect = {.connection = 257};
	struct relay_route route = {0};
	struct relay *relay = NULL;
	uint16_t one, two;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_OPEN, 1, &wrong)), RELAY_BROKEN);
	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_OPEN, 1, &detached)), RELAY_BROKEN);
	two = opened(relay, &alice, 2, 0);
	assert_int_equal(guest(relay, &route, make(MESSAGE_CONNECT, two, &connect)), RELAY_BROKEN);
	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_OPEN, 1, &open)), RELAY_PASS);
	one = route.guest;
	assert_int_equal(guest(relay, &route, make(MESSAGE_CONNECT, one, &connect)), RELAY_BROKEN); /* not opened */
	assert_int_equal(guest(relay, &route, make(MESSAGE_OPENED, one, &(struct message_opened){"7"})), RELAY_PASS);
	assert_int_equal(guest(relay, &route, make(MESSAGE_CONNECT, one, &connect)), RELAY_PASS);
	assert_true(route.owner == &alice && route.stream == 1);
	assert_int_equal(relay_owner_connections(relay, &alice), 1);
	assert_int_equal(client(relay, &route, &alice, make_credit(1, 257, 1)), RELAY_BROKEN);
	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_DISCONNECT, 1, &(struct message_disconnect){257})),
			 RELAY_PASS);
	while (relay_abandon(relay, &alice, &(struct relay_hangup){0}))
		;
	assert_int_equal(guest(relay, &route, make(MESSAGE_DISCONNECT, one, &(struct message_disconnect){257})),
			 RELAY_DROP);
	assert_int_equal(guest(relay, &route, make(MESSAGE_EXIT, one, &(struct message_exit){0})), RELAY_DROP);
	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_DISCONNECT, 1, &(struct message_disconnect){257})),
			 RELAY_DROP);
	relay_free(relay);
}

static void messages_out_of_place_are_refused(void **state)
{
	struct message_open open = {0};
	struct relay_route route = {0};
	struct relay *relay = NULL;
	uint16_t one, two;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	one = opened(relay, &alice, 1, OPEN_NO_INPUT);
	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_OPEN, 1, &open)), RELAY_BROKEN);
	assert_int_equal(client(relay, &route, &alice, make_data(MESSAGE_INPUT, 1, 1)), RELAY_BROKEN);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_ERRORS, one, 0)), RELAY_PASS);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_ERRORS, one, 1)), RELAY_BROKEN);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, one, MESSAGE_DATA_MAX + 1)), RELAY_BROKEN);
	assert_int_equal(client(relay, &route, &alice, make_data(MESSAGE_SIGNAL, 1, 3)), RELAY_BROKEN);
	assert_int_equal(client(relay, &route, &alice, make_data((enum message_kind)999, 1, 0)), RELAY_BROKEN);

	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_OPEN, 2, &open)), RELAY_PASS);
	two = route.guest;
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, two, 1)), RELAY_BROKEN);
	assert_int_equal(guest(relay, &route, make(MESSAGE_EXIT, two, &(struct message_exit){0})), RELAY_BROKEN);
	relay_free(relay);
}

static void an_open_that_fails_frees_its_stream(void **state)
{
	struct message_open open = {0};
	struct relay_route route = {0};
	struct relay *relay = NULL;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_OPEN, 1, &open)), RELAY_PASS);
	assert_int_equal(guest(relay, &route,
			       make(MESSAGE_FAILURE, route.guest,
				    &(struct message_failure){.kind = 3, .message = "no such program"})),
			 RELAY_PASS);
	assert_int_equal(relay_count(relay), 0);
	opened(relay, &alice, 1, 0);
	relay_free(relay);
}

static void a_client_that_goes_hangs_up_all_but_its_detached_sessions(void **state)
{
	struct relay_hangup hangup = {0};
	struct relay_route route = {0};
	struct relay *relay = NULL;
	uint16_t one, detached;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	one = opened(relay, &alice, 1, 0);
	detached = opened(relay, &alice, 2, OPEN_DETACH);
	opened(relay, &bob, 1, 0);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, one, 100)), RELAY_PASS);
	assert_int_equal(client(relay, &route, &alice, make_data(MESSAGE_INPUT, 1, 100)), RELAY_PASS);

	assert_true(relay_abandon(relay, &alice, &hangup));
	assert_int_equal(hangup.guest, one);
	assert_int_equal(hangup.output, 100);
	assert_int_equal(hangup.errors, 0);
	assert_false(relay_abandon(relay, &alice, &hangup));
	assert_int_equal(relay_owner_count(relay, &alice), 0);
	assert_int_equal(relay_owner_count(relay, &bob), 1);

	/* late frames are dropped and given back, until the session ends */
	assert_int_equal(guest(relay, &route, make_credit(one, MESSAGE_INPUT, 100)), RELAY_DROP);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, one, 200)), RELAY_DROP);
	assert_int_equal(route.credit, 200);
	assert_int_equal(route.credit_flow, MESSAGE_OUTPUT);
	assert_int_equal(guest(relay, &route, make(MESSAGE_EXIT, one, &(struct message_exit){0})), RELAY_DROP);
	assert_int_equal(route.credit, 0);
	assert_int_equal(guest(relay, &route, make(MESSAGE_EXIT, detached, &(struct message_exit){0})), RELAY_DROP);
	assert_int_equal(relay_count(relay), 1);
	relay_free(relay);
}

static void what_a_detached_session_writes_is_kept_and_given_back(void **state)
{
	struct relay_hangup hangup = {0};
	struct relay_route route = {0};
	struct relay *relay = NULL;
	uint16_t detached;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	detached = opened(relay, &alice, 1, OPEN_DETACH);
	for (unsigned i = 0; i < 2; i++) { /* with its client, and without */
		for (unsigned n = 0; n < 2 * WIRE_WINDOW / MESSAGE_DATA_MAX; n++) {
			assert_int_equal(guest(relay, &route, make_data(MESSAGE_ERRORS, detached, MESSAGE_DATA_MAX)),
					 RELAY_KEEP);
			assert_int_equal(route.guest, detached);
			assert_int_equal(route.credit, MESSAGE_DATA_MAX);
			assert_int_equal(route.credit_flow, MESSAGE_ERRORS);
		}
		assert_false(relay_abandon(relay, &alice, &hangup));
	}
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_ERRORS, detached, 0)), RELAY_KEEP);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_ERRORS, detached, 1)), RELAY_BROKEN);
	assert_int_equal(guest(relay, &route, make_data(MESSAGE_OUTPUT, detached, MESSAGE_DATA_MAX + 1)), RELAY_BROKEN);
	relay_free(relay);
}

static void a_client_can_open_only_so_many_sessions(void **state)
{
	struct message_open open = {0};
	struct relay_route route = {0};
	struct relay *relay = NULL;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	for (uint16_t i = 1; i <= RELAY_OWNER_SESSIONS_MAX; i++)
		assert_int_equal(client(relay, &route, &alice, make(MESSAGE_OPEN, i, &open)), RELAY_PASS);
	assert_int_equal(client(relay, &route, &alice, make(MESSAGE_OPEN, 1000, &open)), RELAY_FULL);
	assert_int_equal(client(relay, &route, &bob, make(MESSAGE_OPEN, 1000, &open)), RELAY_PASS);
	relay_free(relay);
}

static void the_end_of_the_guest_gives_every_session_once(void **state)
{
	struct relay_route route = {0};
	struct relay *relay = NULL;
	unsigned count = 0;

	(void)state;
	assert_int_equal(relay_new(&relay), 0);
	opened(relay, &alice, 1, 0);
	opened(relay, &bob, 5, 0);
	while (relay_take(relay, &route))
		count++;
	assert_int_equal(count, 2);
	assert_int_equal(relay_count(relay), 0);
	relay_free(relay);
	text_clear(&scratch);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_clients_may_use_the_same_stream_number),
		cmocka_unit_test(neither_side_may_pass_the_window),
		cmocka_unit_test(credit_for_what_was_not_sent_is_refused),
		cmocka_unit_test(the_guest_must_know_its_streams_and_a_client_may_be_late),
		cmocka_unit_test(connections_are_the_session_s_that_offered_them),
		cmocka_unit_test(messages_out_of_place_are_refused),
		cmocka_unit_test(an_open_that_fails_frees_its_stream),
		cmocka_unit_test(a_client_that_goes_hangs_up_all_but_its_detached_sessions),
		cmocka_unit_test(what_a_detached_session_writes_is_kept_and_given_back),
		cmocka_unit_test(a_client_can_open_only_so_many_sessions),
		cmocka_unit_test(the_end_of_the_guest_gives_every_session_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
