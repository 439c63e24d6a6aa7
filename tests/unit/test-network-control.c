#include "test.h"

#include "network/control.h"

#include <string.h>

static const uint8_t marker[WIRE_MARKER] = "0123456789abcde";

static struct message_network_setup good(void)
{
	return (struct message_network_setup){.name = "dev",
					      .folder = "/run/networks/default",
					      .address = 0x307,
					      .flags = NETWORK_ETHERNET,
					      .marker = {marker, WIRE_MARKER}};
}

/* Whether the other side takes it, with so many descriptors. */
static bool takes(enum message_kind kind, const void *body, unsigned fd_count)
{
	auto_network_request struct network_request request = {0};
	auto_text struct text frames = {0};
	struct message_reader reader = {0};
	struct message message;
	size_t used = 0;
	bool taken;

	assert_int_equal(network_control_encode(&frames, kind, body, NULL), 0);
	assert_int_equal(message_read(&reader, &message, (const uint8_t *)frames.data, frames.size, &used),
			 FRAME_READY);
	taken = network_control_decode(&request, &message, fd_count, NULL) == 0;
	if (taken)
		assert_int_equal(request.kind, kind);
	if (taken && kind == MESSAGE_NETWORK_SETUP)
		assert_string_equal(request.body.setup.name, "dev");
	message_reader_clear(&reader);
	return taken;
}

static void each_request_arrives_as_it_was_made(void **state)
{
	const struct message_network_setup setup = good();
	const struct message_publish publish = {.port = "8080:80"};
	const struct message_network_resolve resolve = {.servers = (const char *const[]){"192.0.2.53", NULL}};

	(void)state;
	assert_true(takes(MESSAGE_NETWORK_SETUP, &setup, 2));
	assert_true(takes(MESSAGE_NETWORK_SERVE, NULL, 0));
	assert_true(takes(MESSAGE_NETWORK_UPLINK, NULL, 1) && takes(MESSAGE_NETWORK_UPLINK, NULL, 0));
	assert_true(takes(MESSAGE_NETWORK_PUBLISH, &publish, 0));
	assert_true(takes(MESSAGE_NETWORK_LIST, NULL, 0));
	assert_true(takes(MESSAGE_NETWORK_RESOLVE, &resolve, 0));
}

static void a_setup_that_makes_no_sense_is_refused(void **state)
{
	struct message_network_setup setup = good();

	(void)state;
	assert_false(takes(MESSAGE_NETWORK_SETUP, &setup, 1));
	setup.address = 0xff01;
	assert_false(takes(MESSAGE_NETWORK_SETUP, &setup, 2));
	setup = good();
	setup.marker.size = 4;
	assert_false(takes(MESSAGE_NETWORK_SETUP, &setup, 2));
	setup = good();
	setup.folder = "relative";
	assert_false(takes(MESSAGE_NETWORK_SETUP, &setup, 2));
	setup = good();
	setup.flags |= 1u << 20;
	assert_false(takes(MESSAGE_NETWORK_SETUP, &setup, 2));
	setup = good();
	setup.flags = 0;
	setup.marker.size = 0;
	assert_true(takes(MESSAGE_NETWORK_SETUP, &setup, 0));
}

static void a_list_of_ports_is_clean_text(void **state)
{
	static const char *const lists[][2] = {{"{\"port\":80}", NULL}, {"a\nb", NULL}, {"\xff", NULL}, {NULL}};
	static const bool fine[] = {true, false, false, true};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		const struct message_network_listed body = {.ports = lists[i]};
		struct message_network_listed listed;
		auto_text struct text frames = {0};
		struct message_reader reader = {0};
		struct message message;
		size_t used = 0;

		assert_int_equal(message_put(&frames, MESSAGE_NETWORK_LISTED, 0, &body), 0);
		assert_int_equal(message_read(&reader, &message, (const uint8_t *)frames.data, frames.size, &used),
				 FRAME_READY);
		assert_int_equal(network_control_decode_listed(&listed, &message, NULL), fine[i] ? 0 : -1);
		if (fine[i])
			message_clear(&listed, MESSAGE_NETWORK_LISTED);
		message_reader_clear(&reader);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_arrives_as_it_was_made),
		cmocka_unit_test(a_setup_that_makes_no_sense_is_refused),
		cmocka_unit_test(a_list_of_ports_is_clean_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
