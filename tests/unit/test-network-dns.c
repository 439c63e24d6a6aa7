/* The resolver between a machine and the host's resolvers: ones that behave, one of which is a real one, and others. */
#include "test.h"

#include "dns-samples.h"

#include "base/file.h"
#include "base/spawn.h"
#include "base/time.h"
#include "network/lesson.h"
#include "network/resolver.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define SERVERS 3u

/* What a server of the test does with a question. */
/* The wrong ones answer rightly too, behind something that is no answer. */
enum manner { ANSWERS, SILENT, SLOW, REFUSES, BROKEN, WRONG_ID, WRONG_QUESTION, WRONG_PORT, WRONG_KIND };

struct server {
	struct fixture *fixture;
	enum manner manner;
	int fd, other, listener;
	uint16_t port;
	struct loop_source *source, *accepting, *timer;
	char address[8]; /* the last byte of what it answers: 192.0.2.N */
	unsigned asked;
	struct sockaddr_in from;
	uint8_t last[1024];
	size_t last_size;
};

struct fixture {
	struct loop *loop;
	struct policy *policy;
	struct dns *dns;
	struct server servers[SERVERS];
	struct text said;
	unsigned replies;
	uint64_t ids[8];
	uint16_t id;
	size_t size;
};

static void on_reply(uint64_t from, const uint8_t *message, size_t size, void *data)
{
	struct fixture *fixture = data;

	fixture->id = (uint16_t)ns_get16(message);
	fixture->size = size;
	fixture->ids[fixture->replies++ % COUNT_OF(fixture->ids)] = from;
	describe(&fixture->said, message, size);
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_in at;
	socklen_t size = sizeof(at);

	assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&at, &size), 0);
	return ntohs(at.sin_port);
}

static int bind_to(int type, uint16_t port)
{
	struct sockaddr_in at = loopback(port);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	if (bind(fd, (const struct sockaddr *)(const void *)&at, sizeof(at)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The question with an address for an answer. */
static size_t make_answer(const struct server *server, uint8_t *ret, bool wrong)
{
	struct question question;
	struct reply reply;
	struct packet_address address = {0};
	char text[32];
	int code = question_parse(&question, server->last, server->last_size);

	assert_int_equal(code, 0);
	reply_begin(&reply, &question, server->last, 0,
		    server->manner == REFUSES  ? ns_r_refused
		    : server->manner == BROKEN ? ns_r_servfail
					       : ns_r_noerror,
		    sizeof(reply.bytes));
	snprintf(text, sizeof(text), "192.0.2.%s", wrong ? "66" : server->address);
	assert_int_equal(inet_pton(AF_INET, text, &address.of.v4), 1);
	if (server->manner != REFUSES && server->manner != BROKEN)
		reply_add_address(&reply, "", 60, &address);
	reply_end(&reply);
	if (wrong && server->manner == WRONG_ID)
		reply.bytes[0] ^= 1;
	if (wrong && server->manner == WRONG_QUESTION)
		reply.bytes[NS_HFIXEDSZ + 1] ^= 1;
	if (wrong && server->manner == WRONG_KIND)
		reply.bytes[2] &= 0x7f;
	memcpy(ret, reply.bytes, reply.size);
	return reply.size;
}

static void send_one(struct server *server, bool wrong)
{
	uint8_t answer[1024];
	size_t size = make_answer(server, answer, wrong);
	int fd = wrong && server->manner == WRONG_PORT ? server->other : server->fd;

	(void)sendto(fd, answer, size, 0, (const struct sockaddr *)(const void *)&server->from, sizeof(server->from));
}

static void send_answer(struct server *server)
{
	if (server->manner >= WRONG_ID)
		send_one(server, true);
	send_one(server, false);
}

static void on_late(struct loop_source *source, void *data)
{
	(void)source;
	send_answer(data);
}

static void on_asked(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct server *server = data;
	socklen_t size = sizeof(server->from);
	ssize_t got =
		recvfrom(fd, server->last, sizeof(server->last), 0, (struct sockaddr *)(void *)&server->from, &size);

	(void)source;
	(void)events;
	if (got < 0)
		return;
	server->last_size = (size_t)got;
	server->asked++;
	if (server->manner == SLOW)
		loop_timer_restart(server->timer, RESOLVER_TRY_MS + 500);
	else if (server->manner != SILENT)
		send_answer(server);
}

/* By TCP: one question, answered as by UDP, in two pieces. */
static void on_connection(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct server *server = data;
	auto_close int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	uint8_t answer[2 + 1024];
	size_t size;
	ssize_t got;

	(void)source;
	(void)events;
	assert_true(peer >= 0);
	got = recv(peer, answer, 2, MSG_WAITALL);
	assert_int_equal(got, 2);
	server->last_size = ns_get16(answer);
	got = recv(peer, server->last, server->last_size, MSG_WAITALL);
	assert_int_equal(got, (ssize_t)server->last_size);
	server->asked++;
	if (server->manner == SILENT)
		return;
	size = make_answer(server, answer + 2, false);
	ns_put16((unsigned)size, answer);
	assert_int_equal(send(peer, answer, 1, MSG_NOSIGNAL), 1);
	assert_int_equal(send(peer, answer + 1, size + 1, MSG_NOSIGNAL), (ssize_t)size + 1);
}

static void open_server(struct fixture *fixture, size_t at)
{
	struct server *server = &fixture->servers[at];

	server->fixture = fixture;
	snprintf(server->address, sizeof(server->address), "%zu", at + 1);
	do {
		cleanup_close(&server->listener);
		server->listener = bind_to(SOCK_STREAM, 0);
		server->port = bound_port(server->listener);
		server->fd = bind_to(SOCK_DGRAM, server->port);
	} while (server->fd < 0);
	server->other = bind_to(SOCK_DGRAM, 0);
	assert_int_equal(listen(server->listener, 64), 0);
	assert_int_equal(loop_add_fd(&server->source, fixture->loop, server->fd, EPOLLIN, on_asked, server), 0);
	assert_int_equal(
		loop_add_fd(&server->accepting, fixture->loop, server->listener, EPOLLIN, on_connection, server), 0);
	assert_int_equal(loop_add_timer(&server->timer, fixture->loop, 3600000, on_late, server), 0);
}

static void close_server(struct server *server)
{
	loop_source_free(server->source);
	loop_source_free(server->accepting);
	loop_source_free(server->timer);
	server->source = server->accepting = server->timer = NULL;
	cleanup_close(&server->fd);
	cleanup_close(&server->other);
	cleanup_close(&server->listener);
	server->fd = server->other = server->listener = -1;
}

static void set_servers(struct fixture *fixture, size_t first, size_t count)
{
	char texts[SERVERS][32];
	const char *servers[SERVERS + 1] = {0};
	struct message_network_resolve resolve = {.servers = servers};

	for (size_t i = 0; i < count; i++) {
		snprintf(texts[i], sizeof(texts[i]), "127.0.0.1#%u", fixture->servers[first + i].port);
		servers[i] = texts[i];
	}
	assert_int_equal(dns_set_upstream(fixture->dns, &resolve), 0);
}

static void open_fixture(struct fixture *fixture, uint32_t flags, const char *const *allow)
{
	struct policy_options policy = {.flags = flags, .allow = allow};
	struct dns_options options = {.name = "dev", .place = 0x307, .reply = on_reply, .data = fixture};

	*fixture = (struct fixture){0};
	assert_int_equal(loop_new(&fixture->loop), 0);
	assert_int_equal(policy_new(&fixture->policy, &policy, NULL), 0);
	options.policy = fixture->policy;
	assert_int_equal(dns_new(&fixture->dns, fixture->loop, &options, NULL), 0);
	for (size_t i = 0; i < SERVERS; i++) {
		fixture->servers[i].fd = fixture->servers[i].other = fixture->servers[i].listener = -1;
		open_server(fixture, i);
	}
	set_servers(fixture, 0, SERVERS);
}

static void close_fixture(struct fixture *fixture)
{
	dns_free(fixture->dns);
	policy_free(fixture->policy);
	for (size_t i = 0; i < SERVERS; i++)
		close_server(&fixture->servers[i]);
	loop_free(fixture->loop);
	text_clear(&fixture->said);
}

static void send_question(struct fixture *fixture, uint16_t id, const char *name, uint64_t from)
{
	uint8_t message[1024];
	size_t size = write_question(message, id, name, ns_t_a, 0);

	dns_query(fixture->dns, message, size, from);
}

static void wait_for_replies(struct fixture *fixture, unsigned count)
{
	uint64_t give_up = time_monotonic_ms() + 60000;

	while (fixture->replies < count && time_monotonic_ms() < give_up)
		loop_turn(fixture->loop, 1000);
	assert_int_equal(fixture->replies, count);
}

static const char *ask(struct fixture *fixture, const char *name)
{
	fixture->replies = 0;
	send_question(fixture, 4242, name, 7);
	wait_for_replies(fixture, 1);
	assert_int_equal(fixture->id, 4242);
	return fixture->said.data;
}

static void the_first_server_is_asked_with_an_id_and_a_port_of_its_own(void **state)
{
	struct fixture fixture;
	struct server *server = &fixture.servers[0];
	unsigned ids = 0, ports = 0, same = 0;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	for (unsigned i = 0; i < 20; i++) {
		unsigned id = server->last_size ? ns_get16(server->last) : 4242, port = server->from.sin_port;

		assert_string_equal(ask(&fixture, "Example.org"), "0: Example.org 192.0.2.1");
		same += ns_get16(server->last) == 4242;
		ids += ns_get16(server->last) != id;
		ports += server->from.sin_port != port;
	}
	assert_true(same <= 1 && ids >= 18 && ports >= 15);
	assert_int_equal(fixture.servers[1].asked + fixture.servers[2].asked, 0);
	close_fixture(&fixture);
}

static void a_server_that_is_gone_is_passed_over_at_once(void **state)
{
	struct fixture fixture;
	uint64_t start = time_monotonic_ms();

	(void)state;
	open_fixture(&fixture, 0, NULL);
	close_server(&fixture.servers[0]);
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.2");
	close_server(&fixture.servers[1]);
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.3");
	close_server(&fixture.servers[2]);
	assert_string_equal(ask(&fixture, "example.org"), "2:");
	/* Nobody was waited for. */
	assert_true(time_monotonic_ms() - start < RESOLVER_TRY_MS);
	close_fixture(&fixture);
}

static void a_silent_server_is_waited_for_once(void **state)
{
	struct fixture fixture;
	uint64_t start = time_monotonic_ms();

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.2");
	assert_true(time_monotonic_ms() - start >= RESOLVER_TRY_MS);
	for (unsigned i = 0; i < 5; i++)
		assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.2");
	assert_int_equal(fixture.servers[0].asked, 1);
	close_fixture(&fixture);
}

static void a_slow_server_may_still_answer(void **state)
{
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	set_servers(&fixture, 0, 2);
	fixture.servers[0].manner = SLOW;
	fixture.servers[1].manner = SILENT;
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.1");
	assert_int_equal(fixture.servers[0].asked, 1);
	assert_int_equal(fixture.servers[1].asked, 1);
	close_fixture(&fixture);
}

static void who_can_not_answer_is_believed_only_when_nobody_can(void **state)
{
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = REFUSES;
	fixture.servers[1].manner = BROKEN;
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.3");
	set_servers(&fixture, 0, 2);
	assert_string_equal(ask(&fixture, "example.org"), "5:");
	assert_int_equal(fixture.servers[0].asked, 2);
	close_fixture(&fixture);
}

static void answers_to_something_else_are_none(void **state)
{
	static const enum manner manners[] = {WRONG_ID, WRONG_QUESTION, WRONG_PORT, WRONG_KIND};
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	for (size_t i = 0; i < COUNT_OF(manners); i++) {
		fixture.servers[0].manner = manners[i];
		assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.1");
		assert_int_equal(fixture.servers[0].asked, i + 1);
	}
	close_fixture(&fixture);
}

static void servers_may_change_while_questions_are_out(void **state)
{
	struct fixture fixture;
	uint64_t start = time_monotonic_ms();

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	set_servers(&fixture, 0, 1);
	send_question(&fixture, 1, "one.example", 1);
	send_question(&fixture, 2, "two.example", 2);
	while (fixture.servers[0].asked < 2)
		loop_turn(fixture.loop, 1000);
	set_servers(&fixture, 2, 1);
	wait_for_replies(&fixture, 2);
	assert_true(text_ends(fixture.said.data, " 192.0.2.3"));
	assert_true(time_monotonic_ms() - start < RESOLVER_TRY_MS);
	set_servers(&fixture, 0, 0);
	assert_string_equal(ask(&fixture, "example.org"), "2:");
	close_fixture(&fixture);
}

static void questions_are_answered_once_and_their_number_is_bounded(void **state)
{
	struct fixture fixture;
	char name[32];

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	set_servers(&fixture, 0, 1);
	for (unsigned i = 0; i < DNS_WAITING_LIMIT; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		send_question(&fixture, (uint16_t)i, name, i);
		send_question(&fixture, (uint16_t)i, name, i); /* impatient */
	}
	assert_int_equal(fixture.replies, 0);
	send_question(&fixture, 9, "more.example", 9);
	assert_int_equal(fixture.replies, 1);
	assert_string_equal(fixture.said.data, "2:");
	set_servers(&fixture, 1, 1);
	wait_for_replies(&fixture, DNS_WAITING_LIMIT + 1);
	assert_string_equal(ask(&fixture, "example.org"), "0: example.org 192.0.2.2");
	close_fixture(&fixture);
}

static void what_waits_is_dropped_with_the_resolver(void **state)
{
	struct fixture fixture;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	send_question(&fixture, 1, "one.example", 1);
	loop_turn(fixture.loop, 1000);
	close_fixture(&fixture);
}

/* The machine's end of a connection to the resolver. */
static int connect_to(struct fixture *fixture)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	dns_serve(fixture->dns, pair[1]);
	return pair[0];
}

static void send_by_tcp(int fd, const char *name, uint16_t id, unsigned type)
{
	uint8_t message[2 + 1024];
	size_t size = write_question(message + 2, id, name, type, 0);

	ns_put16((unsigned)size, message);
	assert_int_equal(send(fd, message, size + 2, MSG_NOSIGNAL), (ssize_t)size + 2);
}

/* Bytes that arrive; fewer than asked for at the end. */
static size_t receive(struct fixture *fixture, int fd, uint8_t *buffer, size_t size)
{
	uint64_t give_up = time_monotonic_ms() + 60000;
	size_t got = 0;

	while (got < size && time_monotonic_ms() < give_up) {
		ssize_t n = recv(fd, buffer + got, size - got, 0);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n > 0)
			got += (size_t)n;
		else
			loop_turn(fixture->loop, 100);
	}
	return got;
}

/* Its id; 0: the end. */
static uint16_t receive_answer(struct fixture *fixture, int fd)
{
	static uint8_t message[NS_MAXMSG];
	size_t size;

	if (receive(fixture, fd, message, 2) != 2)
		return 0;
	size = ns_get16(message);
	assert_int_equal(receive(fixture, fd, message, size), size);
	fixture->size = size;
	describe(&fixture->said, message, size);
	return (uint16_t)ns_get16(message);
}

static void a_connection_takes_several_questions_and_the_end_of_its_peer(void **state)
{
	struct fixture fixture;
	bool seen[6] = {0};
	int fd;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = BROKEN;
	fd = connect_to(&fixture);
	for (uint16_t i = 1; i <= 5; i++)
		send_by_tcp(fd, i == 3 ? "dev.annex.internal" : "example.org", i, ns_t_a);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	for (unsigned i = 1; i <= 5; i++) {
		uint16_t id = receive_answer(&fixture, fd);

		assert_true(id >= 1 && id <= 5 && !seen[id]);
		seen[id] = true;
		assert_string_equal(fixture.said.data,
				    id == 3 ? "0: dev.annex.internal 198.19.3.7" : "0: example.org 192.0.2.2");
	}
	assert_int_equal(receive_answer(&fixture, fd), 0);
	close(fd);
	close_fixture(&fixture);
}

static void a_connection_that_ends_takes_its_questions_along(void **state)
{
	struct fixture fixture;
	int fd;

	(void)state;
	open_fixture(&fixture, 0, NULL);
	fixture.servers[0].manner = SILENT;
	set_servers(&fixture, 0, 1);
	for (unsigned i = 0; i < 3 * DNS_CONNECTION_LIMIT; i++) {
		fd = connect_to(&fixture);
		send_by_tcp(fd, "example.org", 1, ns_t_a);
		while (loop_turn(fixture.loop, 0))
			continue;
		/* With a reset, as bytes of an answer wait: the end of its peer alone would not do. */
		send_by_tcp(fd, "dev", 2, ns_t_a);
		while (loop_turn(fixture.loop, 0))
			continue;
		close(fd);
		send_question(&fixture, 3, "dev", 3);
		while (loop_turn(fixture.loop, 0))
			continue;
	}
	fd = connect_to(&fixture);
	send_by_tcp(fd, "dev", 2, ns_t_a);
	assert_int_equal(receive_answer(&fixture, fd), 2);
	close(fd);
	close_fixture(&fixture);
}

static void connections_are_bounded(void **state)
{
	struct fixture fixture;
	int fds[DNS_CONNECTION_LIMIT + 1];

	(void)state;
	open_fixture(&fixture, 0, NULL);
	for (size_t i = 0; i <= DNS_CONNECTION_LIMIT; i++)
		fds[i] = connect_to(&fixture);
	assert_int_equal(receive_answer(&fixture, fds[DNS_CONNECTION_LIMIT]), 0);
	close(fds[DNS_CONNECTION_LIMIT]);
	send_by_tcp(fds[0], "dev", 2, ns_t_a);
	assert_int_equal(receive_answer(&fixture, fds[0]), 2);
	for (size_t i = 0; i < DNS_CONNECTION_LIMIT; i++)
		close(fds[i]);
	close_fixture(&fixture);
}

static void who_does_not_read_answers_may_not_ask_on(void **state)
{
	struct fixture fixture;
	uint8_t message[2 + 1024];
	size_t size = write_question(message + 2, 1, "dev.annex.internal", ns_t_a, 0) + 2;
	ssize_t sent;
	unsigned count = 0, answers = 0;
	int fd;

	(void)state;
	ns_put16((unsigned)size - 2, message);
	open_fixture(&fixture, 0, NULL);
	fd = connect_to(&fixture);
	do {
		sent = send(fd, message, size, MSG_NOSIGNAL);
		count += sent == (ssize_t)size;
		while (loop_turn(fixture.loop, 0))
			continue;
	} while (sent == (ssize_t)size && count < 1000000);
	assert_true(sent < 0 && errno == EAGAIN);
	while (answers < count && receive_answer(&fixture, fd) == 1)
		answers++;
	assert_int_equal(answers, count);
	close(fd);
	close_fixture(&fixture);
}

static bool permitted(struct fixture *fixture, const char *to)
{
	uint8_t header[20] = {[12] = 0x50, [13] = 2};
	struct packet packet = {.is_ip = true,
				.protocol = IPPROTO_TCP,
				.destination_port = 443,
				.payload = header,
				.payload_size = sizeof(header)};

	packet.destination.v6 = strchr(to, ':') != NULL;
	assert_int_equal(inet_pton(packet.destination.v6 ? AF_INET6 : AF_INET, to, &packet.destination.of), 1);
	return policy_allows(fixture->policy, &packet);
}

static void an_isolated_machines_question_carries_nothing_else(void **state)
{
	static const char *const allow[] = {"example.org", NULL};
	static const uint8_t secret[] = "secret";
	struct fixture fixture;
	uint8_t message[1024];
	size_t size;

	(void)state;
	open_fixture(&fixture, NETWORK_ISOLATED, allow);
	size = write_question(message, 5, "eXaMpLe.OrG", ns_t_a, 1400);
	/* An option of EDNS. */
	ns_put16(4 + sizeof(secret), message + size - 2);
	ns_put16(65001, message + size);
	ns_put16(sizeof(secret), message + size + 2);
	memcpy(message + size + 4, secret, sizeof(secret));
	size += 4 + sizeof(secret);
	dns_query(fixture.dns, message, size, 1);
	wait_for_replies(&fixture, 1);
	assert_string_equal(fixture.said.data, "0: eXaMpLe.OrG 192.0.2.1");
	assert_true(permitted(&fixture, "192.0.2.1"));
	assert_null(memmem(fixture.servers[0].last, fixture.servers[0].last_size, secret, sizeof(secret)));
	assert_non_null(memmem(fixture.servers[0].last, fixture.servers[0].last_size, "\7example\3org", 13));
	assert_string_equal(ask(&fixture, "www.example.org"), "5:");
	assert_int_equal(fixture.servers[0].asked, 1);
	close_fixture(&fixture);
}

static void only_addresses_that_the_name_leads_to_are_learned(void **state)
{
	static const char *const allow[] = {"example.org", NULL};
	struct question question = {.name = "example.org", .type = ns_t_a, .class_of = ns_c_in};
	struct packet_address good, stray;
	struct reply answer, rest;
	struct fixture fixture;
	uint8_t asked[1024];

	(void)state;
	open_fixture(&fixture, NETWORK_ISOLATED, allow);
	question.end = write_question(asked, 0, "example.org", ns_t_a, 0);
	good = (struct packet_address){.of.v4 = {inet_addr("192.0.2.21")}};
	stray = (struct packet_address){.of.v4 = {inet_addr("192.0.2.22")}};
	reply_begin(&answer, &question, asked, 0, 0, sizeof(answer.bytes));
	reply_add_address(&answer, "b.example", 60, &good);
	reply_add_name(&answer, ns_s_an, "a.example", ns_t_cname, 60, "b.example");
	reply_add_name(&answer, ns_s_an, "", ns_t_cname, 60, "a.example");
	reply_add_name(&answer, ns_s_an, "b.example", ns_t_ns, 60, "c.example");
	reply_add_address(&answer, "c.example", 60, &stray);
	reply_add_address(&answer, "a.example", 60, &stray);
	reply_end(&answer);
	reply_begin(&rest, &question, asked, 0, 0, sizeof(rest.bytes));
	assert_int_equal(lesson_learn(&rest, fixture.policy, &question, answer.bytes, answer.size), LESSON_WHOLE);
	assert_true(permitted(&fixture, "192.0.2.21"));
	assert_false(permitted(&fixture, "192.0.2.22"));
	/* A chain without an end. */
	reply_begin(&answer, &question, asked, 0, 0, sizeof(answer.bytes));
	reply_add_name(&answer, ns_s_an, "", ns_t_cname, 60, "example.org");
	reply_end(&answer);
	assert_int_equal(lesson_learn(&rest, fixture.policy, &question, answer.bytes, answer.size), LESSON_WHOLE);
	assert_int_equal(lesson_learn(&rest, fixture.policy, &question, answer.bytes, 11), LESSON_NONE);
	close_fixture(&fixture);
}

/* A real one: dnsmasq, on a port of its own, with a file of names that can be changed. */
struct dnsmasq {
	pid_t pid;
	uint16_t port;
	char folder[32], hosts[64];
};

static void write_hosts(struct dnsmasq *dnsmasq, const char *text)
{
	auto_close int fd = open(dnsmasq->hosts, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static bool answers(uint16_t port)
{
	struct sockaddr_in at = loopback(port);
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (const struct sockaddr *)(const void *)&at, sizeof(at)) == 0;
}

static bool start_dnsmasq(struct dnsmasq *dnsmasq, const char *hosts, const char *records)
{
	char configuration[64], text[4096], argument[80];
	uint64_t give_up = time_monotonic_ms() + 30000;
	auto_close int probe = bind_to(SOCK_STREAM, 0), fd = -1;
	const char *const path = "/usr/sbin/dnsmasq";

	if (access(path, X_OK) < 0)
		return false;
	dnsmasq->port = bound_port(probe);
	cleanup_close(&probe);
	probe = -1;
	snprintf(dnsmasq->folder, sizeof(dnsmasq->folder), "/tmp/annex-dns-XXXXXX");
	assert_non_null(mkdtemp(dnsmasq->folder));
	assert_int_equal(chmod(dnsmasq->folder, 0755), 0);
	snprintf(dnsmasq->hosts, sizeof(dnsmasq->hosts), "%s/hosts", dnsmasq->folder);
	write_hosts(dnsmasq, hosts);
	snprintf(configuration, sizeof(configuration), "%s/configuration", dnsmasq->folder);
	snprintf(text, sizeof(text),
		 "no-resolv\nno-hosts\naddn-hosts=%s\nport=%u\nlisten-address=127.0.0.1\nbind-interfaces\n"
		 "pid-file=\nlocal-ttl=1\nedns-packet-max=4096\nuser=\nno-daemon\n%s",
		 dnsmasq->hosts, dnsmasq->port, records);
	fd = open(configuration, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	snprintf(argument, sizeof(argument), "--conf-file=%s", configuration);
	dnsmasq->pid = fork();
	if (dnsmasq->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(STDOUT_FILENO);
		close(STDERR_FILENO);
		execl(path, path, argument, (char *)NULL);
		_exit(127);
	}
	while (!answers(dnsmasq->port) && time_monotonic_ms() < give_up)
		usleep(10000);
	return true;
}

static void stop_dnsmasq(struct dnsmasq *dnsmasq)
{
	char path[64];

	kill(dnsmasq->pid, SIGKILL);
	waitpid(dnsmasq->pid, NULL, 0);
	snprintf(path, sizeof(path), "%s/configuration", dnsmasq->folder);
	unlink(path);
	unlink(dnsmasq->hosts);
	rmdir(dnsmasq->folder);
}

static void use_dnsmasq(struct fixture *fixture, const struct dnsmasq *first, const struct dnsmasq *second)
{
	char texts[2][32];
	const char *servers[3] = {texts[0], second ? texts[1] : NULL};
	struct message_network_resolve resolve = {.servers = servers};

	snprintf(texts[0], sizeof(texts[0]), "127.0.0.1#%u", first->port);
	snprintf(texts[1], sizeof(texts[1]), "127.0.0.1#%u", second ? second->port : 0);
	assert_int_equal(dns_set_upstream(fixture->dns, &resolve), 0);
}

static void dnsmasq_answers_and_changes_its_answers(void **state)
{
	struct dnsmasq first = {0}, second = {0};
	struct fixture fixture;

	(void)state;
	if (!start_dnsmasq(&first, "192.0.2.10 changing.example\n", "cname=alias.example,changing.example\n"))
		skip();
	assert_true(start_dnsmasq(&second, "192.0.2.99 changing.example\n", ""));
	open_fixture(&fixture, 0, NULL);
	use_dnsmasq(&fixture, &first, &second);
	assert_string_equal(ask(&fixture, "alias.example"),
			    "0: alias.example changing.example changing.example 192.0.2.10");
	write_hosts(&first, "192.0.2.11 changing.example\n");
	kill(first.pid, SIGHUP);
	for (unsigned i = 0; !text_ends(ask(&fixture, "changing.example"), " 192.0.2.11"); i++) {
		assert_true(i < 1000);
		usleep(10000);
	}
	stop_dnsmasq(&first);
	assert_string_equal(ask(&fixture, "changing.example"), "0: changing.example 192.0.2.99");
	stop_dnsmasq(&second);
	assert_string_equal(ask(&fixture, "changing.example"), "2:");
	close_fixture(&fixture);
}

static void what_is_too_large_comes_by_tcp(void **state)
{
	struct dnsmasq dnsmasq = {0};
	struct fixture fixture;
	char records[3500];
	int used = 0, fd;

	(void)state;
	for (unsigned i = 0; i < 14; i++)
		used += snprintf(records + used, sizeof(records) - (size_t)used, "txt-record=big.example,%0200u\n", i);
	if (!start_dnsmasq(&dnsmasq, "", records))
		skip();
	open_fixture(&fixture, 0, NULL);
	use_dnsmasq(&fixture, &dnsmasq, NULL);
	{
		uint8_t message[1024];
		size_t size = write_question(message, 4, "big.example", ns_t_txt, 0);

		dns_query(fixture.dns, message, size, 1);
		wait_for_replies(&fixture, 1);
		assert_true(text_starts(fixture.said.data, "tc 0:"));
		assert_true(fixture.size <= QUESTION_UDP_SIZE);
		/* Who says that it takes more gets more. */
		size = write_question(message, 4, "big.example", ns_t_txt, 4096);
		dns_query(fixture.dns, message, size, 1);
		wait_for_replies(&fixture, 2);
		assert_true(text_starts(fixture.said.data, "0:") && fixture.size > 2800);
	}
	fd = connect_to(&fixture);
	send_by_tcp(fd, "big.example", 6, ns_t_txt);
	assert_int_equal(receive_answer(&fixture, fd), 6);
	assert_true(text_starts(fixture.said.data, "0: big.example type16/201") && fixture.size > 2800);
	close(fd);
	stop_dnsmasq(&dnsmasq);
	close_fixture(&fixture);
}

static void names_that_lead_to_the_host_are_taken_out_of_answers(void **state)
{
	static const char *const allow[] = {"*.example", NULL};
	struct dnsmasq dnsmasq = {0};
	struct fixture fixture;

	(void)state;
	if (!start_dnsmasq(&dnsmasq,
			   "192.0.2.10 mixed.example\n127.0.0.1 mixed.example\n127.0.0.1 evil.example\n"
			   "169.254.169.254 evil.example\n::ffff:127.0.0.1 evil.example\n",
			   "cname=alias.example,mixed.example\n"))
		skip();
	open_fixture(&fixture, NETWORK_ISOLATED, allow);
	use_dnsmasq(&fixture, &dnsmasq, NULL);
	assert_string_equal(ask(&fixture, "alias.example"), "0: alias.example mixed.example mixed.example 192.0.2.10");
	assert_string_equal(ask(&fixture, "evil.example"), "0:");
	assert_true(permitted(&fixture, "192.0.2.10"));
	assert_false(permitted(&fixture, "127.0.0.1") || permitted(&fixture, "169.254.169.254"));
	stop_dnsmasq(&dnsmasq);
	close_fixture(&fixture);
}

static void servers_are_written_as_in_resolv_conf_with_a_port(void **state)
{
	static const char *const bad[] = {"",
					  "x",
					  "192.0.2.1#",
					  "192.0.2.1#0",
					  "192.0.2.1#65536",
					  "192.0.2.1%1",
					  "fe80::1%",
					  "fe80::1%eth0",
					  "192.0.2.1 ",
					  "[::1]#53",
					  "192.0.2.1#53#53"};
	struct sockaddr_storage made;
	const struct sockaddr_in *v4 = (const void *)&made;
	const struct sockaddr_in6 *v6 = (const void *)&made;

	(void)state;
	assert_int_equal(resolver_parse_server(&made, "192.0.2.1"), 0);
	assert_true(v4->sin_family == AF_INET && v4->sin_port == htons(53));
	assert_int_equal(resolver_parse_server(&made, "fe80::1%7#5353"), 0);
	assert_true(v6->sin6_family == AF_INET6 && v6->sin6_port == htons(5353) && v6->sin6_scope_id == 7);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(resolver_parse_server(&made, bad[i]), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_server_is_asked_with_an_id_and_a_port_of_its_own),
		cmocka_unit_test(a_server_that_is_gone_is_passed_over_at_once),
		cmocka_unit_test(a_silent_server_is_waited_for_once),
		cmocka_unit_test(a_slow_server_may_still_answer),
		cmocka_unit_test(who_can_not_answer_is_believed_only_when_nobody_can),
		cmocka_unit_test(answers_to_something_else_are_none),
		cmocka_unit_test(servers_may_change_while_questions_are_out),
		cmocka_unit_test(questions_are_answered_once_and_their_number_is_bounded),
		cmocka_unit_test(what_waits_is_dropped_with_the_resolver),
		cmocka_unit_test(a_connection_takes_several_questions_and_the_end_of_its_peer),
		cmocka_unit_test(a_connection_that_ends_takes_its_questions_along),
		cmocka_unit_test(connections_are_bounded),
		cmocka_unit_test(who_does_not_read_answers_may_not_ask_on),
		cmocka_unit_test(an_isolated_machines_question_carries_nothing_else),
		cmocka_unit_test(only_addresses_that_the_name_leads_to_are_learned),
		cmocka_unit_test(dnsmasq_answers_and_changes_its_answers),
		cmocka_unit_test(what_is_too_large_comes_by_tcp),
		cmocka_unit_test(names_that_lead_to_the_host_are_taken_out_of_answers),
		cmocka_unit_test(servers_are_written_as_in_resolv_conf_with_a_port),
	};

	struct rlimit files;

	/* Each question that waits has a socket. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
