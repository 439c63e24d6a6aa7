/* What listens, and connections to it. */
#include "test.h"

#include "port-ends.h"

static void the_host_is_told_what_listens(void **state)
{
	uint16_t port = 0, port6 = 0, datagrams = 0;
	int fd = serve_at("127.0.0.1", &port), fd6 = serve_at("::1", &port6),
	    udp = bind_at(SOCK_DGRAM, "127.0.0.1", &datagrams);

	(void)state;
	UNTIL(find(IPPROTO_TCP, "127.0.0.1", port) && find(IPPROTO_TCP, "::1", port6));
	assert_int_equal(find(IPPROTO_TCP, "127.0.0.1", port)->pid, getpid());
	assert_string_equal(find(IPPROTO_TCP, "127.0.0.1", port)->process, "test-ports");
	assert_null(find(IPPROTO_TCP, "127.0.0.1", port6));
	assert_null(find(IPPROTO_UDP, "127.0.0.1", datagrams)); /* it may be a client's */
	close(fd);
	UNTIL(!find(IPPROTO_TCP, "127.0.0.1", port));
	assert_non_null(find(IPPROTO_TCP, "::1", port6));
	UNTIL(find(IPPROTO_UDP, "127.0.0.1", datagrams));
	close(fd6);
	close(udp);
	UNTIL(!find(IPPROTO_UDP, "127.0.0.1", datagrams));
}

static void whoever_asks_is_answered_without_news(void **state)
{
	size_t before;

	(void)state;
	for (int i = 0; i < 10; i++) {
		before = listed;
		ports_scan(ports);
		ports_scan(ports);
		UNTIL(listed > before);
		assert_int_equal(listed, before + 1);
	}
}

static void a_port_may_flap(void **state)
{
	uint16_t port = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		int fd = serve_at("127.0.0.1", &port);

		ports_scan(ports);
		UNTIL(find(IPPROTO_TCP, "127.0.0.1", port));
		close(fd);
		ports_scan(ports);
		UNTIL(!find(IPPROTO_TCP, "127.0.0.1", port));
	}
}

static void each_direction_ends_for_itself(void **state)
{
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), client = reach(port), server = take(listener);

	(void)state;
	say(client, "question");
	expect_text(server, "question");
	shutdown(client, SHUT_WR);
	expect_end(server);
	say(server, "answer");
	expect_text(client, "answer");
	say(server, "more");
	expect_text(client, "more");
	shutdown(server, SHUT_WR);
	expect_end(client);
	close(client);
	close(server);

	client = reach(port);
	server = take(listener);
	say(server, "hello");
	shutdown(server, SHUT_WR);
	expect_text(client, "hello");
	expect_end(client);
	say(client, "late");
	expect_text(server, "late");
	close(client);
	expect_end(server);
	close(server);
	close(listener);
}

static void a_service_is_found_at_its_address(void **state)
{
	uint16_t port = 0;
	int listener = serve_at("::1", &port), client, server;

	(void)state;
	/* Before the host knows of it, and after. */
	for (int i = 0; i < 2; i++) {
		client = reach(port);
		server = take(listener);
		say(server, "six");
		expect_text(client, "six");
		close(client);
		close(server);
		UNTIL(find(IPPROTO_TCP, "::1", port));
	}
	close(listener);
	listener = serve_at("127.0.0.3", &port);
	UNTIL(find(IPPROTO_TCP, "127.0.0.3", port));
	client = reach(port);
	server = take(listener);
	say(client, "three");
	expect_text(server, "three");
	close(client);
	close(server);
	close(listener);
}

static void resets_go_both_ways(void **state)
{
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), client = reach(port), server = take(listener);

	(void)state;
	say(client, "x");
	expect_text(server, "x");
	reset(client);
	expect_reset(server);
	close(server);

	client = reach(port);
	server = take(listener);
	say(server, "before");
	reset(server);
	/* What came before it may be lost, as without annex; the end is a reset in any case. */
	for (;;) {
		char bytes[16];
		ssize_t n = receive(client, bytes, sizeof(bytes));

		assert_int_not_equal(n, 0);
		if (n < 0)
			break;
	}
	assert_int_equal(errno, ECONNRESET);
	close(client);

	/* Closed while the other side goes on writing, after its end was told. */
	client = reach(port);
	server = take(listener);
	close(server);
	expect_end(client);
	say(client, "x");
	UNTIL(send(client, "y", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0);
	assert_true(errno == ECONNRESET || errno == EPIPE);
	close(client);
	close(listener);

	client = reach(port);
	expect_reset(client);
	close(client);
}

static void large_transfers_arrive_whole(void **state)
{
	struct task up, down, up_reader, down_reader;
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), client = reach(port), server = take(listener);

	(void)state;
	start(&up, client, write_bulk);
	start(&down, server, write_bulk);
	start(&up_reader, server, read_all);
	start(&down_reader, client, read_all);
	finish(&up);
	finish(&down);
	finish(&up_reader);
	finish(&down_reader);
	assert_int_equal(up_reader.bytes, BULK);
	assert_int_equal(down_reader.bytes, BULK);
	assert_true(up.hash == up_reader.hash && down.hash == down_reader.hash);
	close(client);
	close(server);
	close(listener);
}

/* Fill it until nothing more is taken. */
static size_t fill(int fd)
{
	static const char bytes[64 << 10];
	uint64_t until = time_monotonic_ms() + 200;
	size_t sent = 0;

	while (time_monotonic_ms() < until) {
		ssize_t n = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			sent += (size_t)n;
			until = time_monotonic_ms() + 200;
		}
		loop_turn(loop, 10);
	}
	return sent;
}

static void who_does_not_read_stops_only_its_sender(void **state)
{
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), client = reach(port), server = take(listener), other, peer;
	size_t sent[2], got;
	char bytes[4096];
	ssize_t n;

	(void)state;
	sent[0] = fill(client);
	sent[1] = fill(server);
	other = reach(port);
	peer = take(listener);
	say(other, "quick");
	expect_text(peer, "quick");
	say(peer, "as ever");
	expect_text(other, "as ever");
	/* Nothing of it is lost. */
	shutdown(client, SHUT_WR);
	shutdown(server, SHUT_WR);
	for (got = 0; (n = receive(server, bytes, sizeof(bytes))) > 0; got += (size_t)n)
		;
	assert_int_equal(got, sent[0]);
	for (got = 0; (n = receive(client, bytes, sizeof(bytes))) > 0; got += (size_t)n)
		;
	assert_int_equal(got, sent[1]);
	close(client);
	close(server);
	close(other);
	close(peer);
	close(listener);
}

static void a_thousand_connections_are_there_at_once(void **state)
{
	static int clients[MANY], servers[MANY];
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port);
	char text[16];

	(void)state;
	for (int i = 0; i < MANY; i++)
		clients[i] = reach(port);
	for (int i = 0; i < MANY; i++) {
		servers[i] = take(listener);
		snprintf(text, sizeof(text), "to %d", i);
		say(clients[i], text);
	}
	/* Which is whose, they say. */
	for (int i = 0; i < MANY; i++) {
		ssize_t n = receive(servers[i], text, sizeof(text));

		assert_true(n > 0);
		assert_int_equal(send(servers[i], text, (size_t)n, MSG_NOSIGNAL), n);
	}
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "to %d", i);
		expect_text(clients[i], text);
	}
	for (int i = 0; i < MANY; i++) {
		close(clients[i]);
		expect_end(servers[i]);
		close(servers[i]);
	}
	close(listener);
}

/* Clients are gone at once: a connection lasts until the server, which doesn't take it, has ended too. */
static void a_connection_too_many_is_reset(void **state)
{
	struct rlimit files;
	uint16_t port = 0;
	int listener, client;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	if (files.rlim_cur < 2 * WIRE_PORT_CONNECTIONS_MAX + 1000)
		return;
	listener = serve_at("127.0.0.1", &port);
	for (size_t i = 0; i < WIRE_PORT_CONNECTIONS_MAX; i++) {
		close(reach(port));
		if (i % 100 == 0)
			while (loop_turn(loop, 0))
				;
	}
	client = reach(port);
	expect_reset(client);
	close(client);
	close(take(listener));
	while (loop_turn(loop, 10))
		;
	client = reach(port);
	for (int i = 0; i < 20; i++)
		loop_turn(loop, 1);
	assert_false(is_readable(client));
	close(client);
	client = reach(port);
	expect_reset(client);
	close(client);
	close(listener);
}

static bool enough;

static void write_until_enough(int fd, struct task *task)
{
	while (!__atomic_load_n(&enough, __ATOMIC_ACQUIRE))
		write_piece(fd, task);
	shutdown(fd, SHUT_WR);
}

static void new_connections_are_made_beside_large_streams(void **state)
{
	enum { STREAMS = 4, TRIES = 20 };
	struct task senders[STREAMS], readers[STREAMS];
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), clients[STREAMS], servers[STREAMS], client, server;

	(void)state;
	for (int i = 0; i < STREAMS; i++) {
		clients[i] = reach(port);
		servers[i] = take(listener);
		start(&senders[i], i % 2 ? clients[i] : servers[i], write_until_enough);
		start(&readers[i], i % 2 ? servers[i] : clients[i], read_all);
	}
	for (int i = 0; i < TRIES; i++) {
		client = reach(port);
		server = take(listener);
		say(client, "a");
		expect_text(server, "a");
		say(server, "b");
		expect_text(client, "b");
		close(client);
		close(server);
	}
	__atomic_store_n(&enough, true, __ATOMIC_RELEASE);
	for (int i = 0; i < STREAMS; i++) {
		finish(&senders[i]);
		finish(&readers[i]);
		assert_true(senders[i].hash == readers[i].hash);
		close(clients[i]);
		close(servers[i]);
	}
	close(listener);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_host_is_told_what_listens),
		TEST(whoever_asks_is_answered_without_news),
		TEST(a_port_may_flap),
		TEST(each_direction_ends_for_itself),
		TEST(a_service_is_found_at_its_address),
		TEST(resets_go_both_ways),
		TEST(large_transfers_arrive_whole),
		TEST(who_does_not_read_stops_only_its_sender),
		TEST(a_thousand_connections_are_there_at_once),
		TEST(a_connection_too_many_is_reset),
		TEST(new_connections_are_made_beside_large_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
