/* Both ends of the ports' link, with a socket in the place of the virtio port between them, and real servers and
 * clients, which are threads that block as programs do. The machine is this one. */
#include "test.h"

#include "base/time.h"
#include "guest/portlink.h"
#include "network/datagrams.h"
#include "network/ports.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, MANY = 1000, BULK = 64 << 20 };

static const uint8_t marker[WIRE_MARKER] = "0123456789abcde", other_marker[WIRE_MARKER] = "another marker!";

static struct loop *loop;
static struct ports *ports;
static struct portlink *guest;
static int ends[2];   /* duplicates of the link's, as the supervisor keeps them */
static size_t listed; /* how often was told what listens */

static void on_listening(const struct port_socket *sockets, size_t count, void *data)
{
	(void)sockets;
	(void)count;
	(void)data;
	listed++;
}

static const struct ports_callbacks callbacks = {on_listening};

/* Until a condition holds. */
#define UNTIL(condition)                                             \
	do {                                                         \
		uint64_t until_ = time_monotonic_ms() + PATIENCE_MS; \
		while (!(condition)) {                               \
			assert_true(time_monotonic_ms() < until_);   \
			loop_turn(loop, 20);                         \
		}                                                    \
	} while (0)

static int set_up(void **state)
{
	struct rlimit files;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	listed = 0;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(ports_new(&ports, loop, dup(ends[0]), marker, &callbacks, NULL), 0);
	assert_int_equal(portlink_new(&guest, loop, dup(ends[1])), 0);
	portlink_begin(guest, marker);
	UNTIL(ports_are_up(ports) && listed > 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ports_free(ports);
	portlink_free(guest);
	loop_free(loop);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* Servers and clients. */

struct task {
	pthread_t thread;
	void (*fn)(int fd, struct task *task);
	int fd;
	uint64_t hash;
	uint64_t bytes;
	bool done;
};

static void *run_task(void *data)
{
	struct task *task = data;

	task->fn(task->fd, task);
	__atomic_store_n(&task->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void start(struct task *task, int fd, void (*fn)(int, struct task *))
{
	*task = (struct task){.fd = fd, .fn = fn};
	assert_int_equal(pthread_create(&task->thread, NULL, run_task, task), 0);
}

static bool is_done(struct task *task)
{
	return __atomic_load_n(&task->done, __ATOMIC_ACQUIRE);
}

static void finish(struct task *task)
{
	UNTIL(is_done(task));
	assert_int_equal(pthread_join(task->thread, NULL), 0);
}

static int bind_at(int type, const char *address, uint16_t *port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(*port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
	bool is_v6 = strchr(address, ':');
	struct sockaddr *any = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	socklen_t size = is_v6 ? sizeof(v6) : sizeof(v4);
	int fd = socket(any->sa_family, type | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(any->sa_family, address, is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr), 1);
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (is_v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	assert_int_equal(bind(fd, any, size), 0);
	assert_int_equal(getsockname(fd, any, &size), 0);
	*port = ntohs(is_v6 ? v6.sin6_port : v4.sin_port);
	return fd;
}

static int serve_at(const char *address, uint16_t *port)
{
	int fd = bind_at(SOCK_STREAM, address, port);

	assert_int_equal(listen(fd, 4096), 0);
	return fd;
}

static int dial(uint16_t port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* A client whose connection came to the host's side of that port of the machine. */
static int reach(uint16_t port)
{
	uint16_t at = 0;
	int listener = serve_at("127.0.0.1", &at), client = dial(at), fd = accept(listener, NULL, NULL);

	assert_true(fd >= 0);
	close(listener);
	ports_connect(ports, port, fd);
	return client;
}

static uint64_t mix(uint64_t hash, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 1099511628211u;
	return hash;
}

static void make_bytes(uint8_t *bytes, size_t size, uint64_t *seed)
{
	for (size_t i = 0; i < size; i++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(*seed >> 56);
	}
}

static void write_bulk(int fd, struct task *task)
{
	uint8_t bytes[64 << 10];
	uint64_t seed = 7;

	while (task->bytes < BULK) {
		make_bytes(bytes, sizeof(bytes), &seed);
		if (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) != sizeof(bytes))
			break;
		task->hash = mix(task->hash, bytes, sizeof(bytes));
		task->bytes += sizeof(bytes);
	}
	shutdown(fd, SHUT_WR);
}

static void read_all(int fd, struct task *task)
{
	uint8_t bytes[64 << 10];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
		task->hash = mix(task->hash, bytes, (size_t)n);
		task->bytes += (uint64_t)n;
	}
	if (n < 0)
		task->hash = 1;
}

/* The connection that came. */
static int take(int listener)
{
	struct pollfd poll_ = {.fd = listener, .events = POLLIN};

	UNTIL(poll(&poll_, 1, 0) == 1);
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static bool is_readable(int fd)
{
	struct pollfd poll_ = {.fd = fd, .events = POLLIN};

	return poll(&poll_, 1, 0) == 1;
}

static ssize_t receive(int fd, void *bytes, size_t size)
{
	UNTIL(is_readable(fd));
	return recv(fd, bytes, size, 0);
}

static void expect_text(int fd, const char *text)
{
	char bytes[64] = {0};
	size_t have = 0;

	while (have < strlen(text)) {
		ssize_t n = receive(fd, bytes + have, strlen(text) - have);

		assert_true(n > 0);
		have += (size_t)n;
	}
	assert_string_equal(bytes, text);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect_end(int fd)
{
	char byte;

	assert_int_equal(receive(fd, &byte, 1), 0);
}

static void expect_reset(int fd)
{
	char byte;

	assert_int_equal(receive(fd, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
}

static void reset(int fd)
{
	const struct linger at_once = {.l_onoff = 1};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(fd);
}

static const struct port_socket *find(uint8_t protocol, const char *address, uint16_t port)
{
	size_t count = 0;
	const struct port_socket *at = ports_listening(ports, &count);

	for (size_t i = 0; i < count; i++) {
		if (at[i].protocol == protocol && at[i].port == port && strcmp(at[i].address, address) == 0)
			return &at[i];
	}
	return NULL;
}

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

static void a_new_connection_is_quick_beside_large_streams(void **state)
{
	enum { STREAMS = 4, TRIES = 20 };
	struct task senders[STREAMS], readers[STREAMS];
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), clients[STREAMS], servers[STREAMS], client, server;

	(void)state;
	for (int i = 0; i < STREAMS; i++) {
		clients[i] = reach(port);
		servers[i] = take(listener);
		start(&senders[i], i % 2 ? clients[i] : servers[i], write_bulk);
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
	/* All of that while none was through. */
	for (int i = 0; i < STREAMS; i++)
		assert_true(readers[i].bytes < BULK);
	for (int i = 0; i < STREAMS; i++) {
		finish(&senders[i]);
		finish(&readers[i]);
		assert_true(senders[i].hash == readers[i].hash);
		close(clients[i]);
		close(servers[i]);
	}
	close(listener);
}

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

static void the_guest_s_end_may_begin_anew(void **state)
{
	uint16_t port = 0;
	int listener = serve_at("127.0.0.1", &port), client = reach(port), server = take(listener);

	(void)state;
	ports_restart(ports, other_marker);
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
	size_t count = 1;

	portlink_free(guest);
	guest = NULL;
	ports_restart(ports, other_marker);
	assert_int_equal(send(ends[1], other_marker, WIRE_MARKER, 0), WIRE_MARKER);
	UNTIL(ports_are_up(ports));
	/* What was on its way when the old one went. */
	while (recv(ends[1], answer, 1, MSG_DONTWAIT) == 1)
		;
	assert_int_equal(send(ends[1], bytes->data, bytes->size, MSG_NOSIGNAL), bytes->size);
	UNTIL(!ports_are_up(ports));
	ports_listening(ports, &count);
	assert_int_equal(count, 0);
	ports_scan(ports);
	ports_restart(ports, marker);
	assert_int_equal(send(ends[1], marker, WIRE_MARKER, 0), WIRE_MARKER);
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
	ports_restart(ports, other_marker);
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
	static int kinds[] = {0, 1, 2, 3, 4, 5};
#define BAD(kind)                                                                                               \
	cmocka_unit_test_prestate_setup_teardown(whoever_breaks_the_protocol_loses_the_link, set_up, tear_down, \
						 &kinds[kind])
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
		TEST(a_new_connection_is_quick_beside_large_streams),
		TEST(datagrams_find_back_to_who_asked),
		TEST(datagrams_of_strangers_are_dropped),
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
