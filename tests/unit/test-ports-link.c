/* The link itself, and what is on it besides connections. */
#include "test.h"

#include "port-ends.h"

/* Datagrams. */

static struct datagrams *serve_datagrams(uint16_t port, const char *address, uint16_t *at, datagrams_admit_fn *admit)
{
	struct datagrams *datagrams = NULL;

	assert_int_equal(datagrams_new(&datagrams, ports, port, bind_at(SOCK_DGRAM, address, at), admit, NULL), 0);
	return datagrams;
}

static int dial_datagrams(const char *address, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, address, &to.sin_addr), 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void echo_datagram(int server)
{
	static char bytes[65536];
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	ssize_t n;

	UNTIL(is_readable(server));
	n = recvfrom(server, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size);
	assert_true(n >= 0);
	assert_int_equal(sendto(server, bytes, (size_t)n, 0, (struct sockaddr *)&from, size), n);
}

static void datagrams_find_back_to_who_asked(void **state)
{
	static char large[65507], answer[65536];
	uint16_t port = 0, at = 0;
	int server = bind_at(SOCK_DGRAM, "127.0.0.1", &port), clients[3];
	struct datagrams *datagrams = serve_datagrams(port, "0.0.0.0", &at, NULL);

	(void)state;
	/* The last one sends to another of the host's addresses: it hears from there only. */
	clients[0] = dial_datagrams("127.0.0.1", at);
	clients[1] = dial_datagrams("127.0.0.1", at);
	clients[2] = dial_datagrams("127.0.0.77", at);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++) {
			char text[16];

			snprintf(text, sizeof(text), "%d of %d", i, round);
			say(clients[i], text);
			echo_datagram(server);
			expect_text(clients[i], text);
		}
	}
	memset(large, 'x', sizeof(large));
	assert_int_equal(send(clients[0], large, sizeof(large), 0), sizeof(large));
	echo_datagram(server);
	assert_int_equal(receive(clients[0], answer, sizeof(answer)), sizeof(large));
	assert_memory_equal(answer, large, sizeof(large));
	assert_int_equal(send(clients[1], "", 0, 0), 0);
	echo_datagram(server);
	assert_int_equal(receive(clients[1], answer, sizeof(answer)), 0);
	datagrams_free(datagrams);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	close(server);
}

static bool on_admit(const struct sockaddr_storage *client, void *data)
{
	(void)data;
	return ((const struct sockaddr_in *)client)->sin_addr.s_addr == htonl(INADDR_LOOPBACK + 1);
}

static void datagrams_of_strangers_are_dropped(void **state)
{
	struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
	uint16_t port = 0, at = 0;
	int server = bind_at(SOCK_DGRAM, "127.0.0.1", &port), stranger, known;
	struct datagrams *datagrams = serve_datagrams(port, "127.0.0.1", &at, on_admit);

	(void)state;
	stranger = dial_datagrams("127.0.0.1", at);
	known = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(known, (struct sockaddr *)&self, sizeof(self)), 0);
	self.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	self.sin_port = htons(at);
	assert_int_equal(connect(known, (struct sockaddr *)&self, sizeof(self)), 0);
	say(stranger, "no");
	say(known, "yes");
	UNTIL(is_readable(server));
	expect_text(server, "yes");
	assert_false(is_readable(server));
	datagrams_free(datagrams);
	close(stranger);
	close(known);
	close(server);
}

static bool is_friend;

static bool on_ask(const struct sockaddr_storage *client, void *data)
{
	(void)client, (void)data;
	return is_friend;
}

/* The port that a client has left may be somebody else's. */
static void whoever_takes_over_a_client_s_port_does_not_get_its_flow(void **state)
{
	uint16_t port = 0, at = 0;
	int server = bind_at(SOCK_DGRAM, "127.0.0.1", &port), client;
	struct datagrams *datagrams = serve_datagrams(port, "127.0.0.1", &at, on_ask);

	(void)state;
	is_friend = true;
	client = dial_datagrams("127.0.0.1", at);
	say(client, "mine");
	UNTIL(is_readable(server));
	expect_text(server, "mine");
	is_friend = false;
	say(client, "yours");
	for (int turn = 0; turn < 10; turn++)
		loop_turn(loop, 1);
	is_friend = true;
	say(client, "mine again");
	UNTIL(is_readable(server));
	expect_text(server, "mine again");
	datagrams_free(datagrams);
	close(client);
	close(server);
}

static void more_flows_than_are_remembered_take_the_oldest_s_place(void **state)
{
	static int clients[WIRE_PORT_FLOWS_MAX + 50];
	uint16_t port = 0, at = 0;
	int server = bind_at(SOCK_DGRAM, "127.0.0.1", &port);
	struct datagrams *datagrams = serve_datagrams(port, "127.0.0.1", &at, NULL);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(clients); i++) {
		clients[i] = dial_datagrams("127.0.0.1", at);
		/* The one that makes room may be lost while the guest has not let go of the number. */
		do {
			say(clients[i], "x");
			for (int turn = 0; turn < 10 && !is_readable(server); turn++)
				loop_turn(loop, 1);
		} while (!is_readable(server));
		echo_datagram(server);
		expect_text(clients[i], "x");
	}
	datagrams_free(datagrams);
	for (size_t i = 0; i < COUNT_OF(clients); i++)
		close(clients[i]);
	close(server);
}

/* The link. */

static void check_that_it_works(void)
{
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), client, server;

	UNTIL(ports_are_up(ports));
	client = reach(port);
	server = take(listener);
	say(client, "question");
	expect_text(server, "question");
	say(server, "answer");
	expect_text(client, "answer");
	close(client);
	expect_end(server);
	close(server);
	close(listener);
}

static void the_host_s_end_may_be_made_anew(void **state)
{
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), clients[2], servers[2];

	(void)state;
	for (int order = 0; order < 4; order++) {
		const uint8_t *with = order % 2 ? marker : other_marker;

		/* Both directions are full, so that it ends in the middle of a frame in each. */
		for (int i = 0; i < 2; i++) {
			clients[i] = reach(port);
			servers[i] = take(listener);
		}
		for (int i = 0; i < 200; i++) {
			static const char bytes[32 << 10];

			(void)!send(clients[0], bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
			(void)!send(servers[1], bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
			if (i < 100)
				loop_turn(loop, 0);
		}
		ports_free(ports);
		for (int i = 0; i < order; i++)
			loop_turn(loop, 1);
		listed = 0;
		assert_int_equal(ports_new(&ports, loop, dup(ends[0]), with, &callbacks, NULL), 0);
		/* The guest learns of it on another link, sooner or later. */
		for (int i = 0; i < order; i++)
			loop_turn(loop, 1);
		assert_false(ports_are_up(ports));
		portlink_begin(guest, with);
		UNTIL(listed > 0);
		check_that_it_works();
		for (int i = 0; i < 2; i++) {
			char bytes[4096];

			while (receive(servers[i], bytes, sizeof(bytes)) > 0)
				;
			assert_int_equal(errno, ECONNRESET);
			close(servers[i]);
			close(clients[i]);
		}
	}
	close(listener);
}

/* A new annex-network on the same link. */
static void begin_anew(const uint8_t with[WIRE_MARKER])
{
	ports_free(ports);
	assert_int_equal(ports_new(&ports, loop, dup(ends[0]), with, &callbacks, NULL), 0);
}

static void the_guest_s_end_may_begin_anew(void **state)
{
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), client = reach(port), server = take(listener);

	(void)state;
	begin_anew(other_marker);
	expect_reset(client);
	portlink_begin(guest, other_marker);
	expect_reset(server);
	check_that_it_works();
	close(client);
	close(server);
	close(listener);
}

/* A guest that keeps to nothing: what is written is this. */
static void be_bad(const struct text *bytes)
{
	uint8_t answer[WIRE_MARKER];

	portlink_free(guest);
	guest = NULL;
	begin_anew(other_marker);
	assert_int_equal(send(ends[1], other_marker, WIRE_MARKER, 0), WIRE_MARKER);
	UNTIL(ports_are_up(ports));
	/* What was on its way when the old one went. */
	while (recv(ends[1], answer, 1, MSG_DONTWAIT) == 1)
		;
	assert_int_equal(send(ends[1], bytes->data, bytes->size, MSG_NOSIGNAL), bytes->size);
	UNTIL(!ports_are_up(ports));
	assert_int_equal(ports_services(ports)->count, 0);
	ports_scan(ports);
	assert_int_equal(send(ends[1], other_marker, WIRE_MARKER, 0), WIRE_MARKER);
	while (loop_turn(loop, 10))
		;
	assert_false(ports_are_up(ports));
}

static void whoever_breaks_the_protocol_loses_the_link(void **state)
{
	static const char *const bad_list[] = {"tcp 0.0.0.0 80 1 nginx", "tcp 0.0.0.0 70000 1 x", NULL};
	struct text bytes = {0};
	int kind = *(int *)*state;

	switch (kind) {
	case 0: /* no frame */
		text_add_bytes(&bytes, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
		break;
	case 1: /* a connection that isn't one */
		assert_int_equal(
			message_put(&bytes, MESSAGE_CREDIT, 0, &(struct message_credit){WIRE_CONNECTION_FIRST, 1}), 0);
		break;
	case 2:
		assert_int_equal(
			message_put(&bytes, MESSAGE_PORT_LISTENING, 0, &(struct message_port_listening){bad_list}), 0);
		break;
	case 3: /* what only the host says */
		assert_int_equal(message_put(&bytes, MESSAGE_PORT_SCAN, 0, NULL), 0);
		break;
	case 4:
		assert_int_equal(
			message_put(&bytes, MESSAGE_DISCONNECT, 0, &(struct message_disconnect){WIRE_PORT_FLOW_FIRST}),
			0);
		break;
	default: /* a session's */
		assert_int_equal(message_put(&bytes, MESSAGE_PORT_LISTENING, 1, &(struct message_port_listening){NULL}),
				 0);
		break;
	}
	be_bad(&bytes);
	text_clear(&bytes);
}

static void a_guest_that_sends_more_than_it_may_loses_the_link(void **state)
{
	static uint8_t payload[TRANSFER_HEADER + (16 << 10)];
	struct text bytes = {0};
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), client;

	(void)state;
	portlink_free(guest);
	guest = NULL;
	begin_anew(other_marker);
	assert_int_equal(send(ends[1], other_marker, WIRE_MARKER, 0), WIRE_MARKER);
	UNTIL(ports_are_up(ports));
	client = reach(port);
	message_put_connection(payload, WIRE_CONNECTION_FIRST);
	assert_int_equal(message_put_data(&bytes, MESSAGE_TRANSFER, 0, payload, sizeof(payload)), 0);
	UNTIL(send(ends[1], bytes.data, bytes.size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && !ports_are_up(ports));
	text_clear(&bytes);
	close(client);
	close(listener);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define BAD(kind)                                                                                               \
	cmocka_unit_test_prestate_setup_teardown(whoever_breaks_the_protocol_loses_the_link, set_up, tear_down, \
						 &kinds[kind])
	static int kinds[] = {0, 1, 2, 3, 4, 5};
	const struct CMUnitTest tests[] = {
		TEST(datagrams_find_back_to_who_asked),
		TEST(datagrams_of_strangers_are_dropped),
		TEST(whoever_takes_over_a_client_s_port_does_not_get_its_flow),
		TEST(more_flows_than_are_remembered_take_the_oldest_s_place),
		TEST(the_host_s_end_may_be_made_anew),
		TEST(the_guest_s_end_may_begin_anew),
		BAD(0),
		BAD(1),
		BAD(2),
		BAD(3),
		BAD(4),
		BAD(5),
		TEST(a_guest_that_sends_more_than_it_may_loses_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
