#pragma once
#include "dns-samples.h"

#include "base/file.h"
#include "base/time.h"
#include "network/lesson.h"
#include "network/resolver.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

/* The resolver between a test, which is the machine, and servers of the test, which are the host's resolvers. */

#define SERVERS 3u

/* What a server of the test does with a question. The wrong ones answer rightly too, behind something that is none. */
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

static inline void on_reply(uint64_t from, const uint8_t *message, size_t size, void *data)
{
	struct fixture *fixture = data;

	fixture->id = (uint16_t)ns_get16(message);
	fixture->size = size;
	fixture->ids[fixture->replies++ % COUNT_OF(fixture->ids)] = from;
	describe(&fixture->said, message, size);
}

static inline struct sockaddr_in loopback(uint16_t port)
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

static inline int bind_to(int type, uint16_t port)
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
static inline size_t make_answer(const struct server *server, uint8_t *ret, bool wrong)
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

static inline void send_one(struct server *server, bool wrong)
{
	uint8_t answer[1024];
	size_t size = make_answer(server, answer, wrong);
	int fd = wrong && server->manner == WRONG_PORT ? server->other : server->fd;

	(void)sendto(fd, answer, size, 0, (const struct sockaddr *)(const void *)&server->from, sizeof(server->from));
}

static inline void send_answer(struct server *server)
{
	if (server->manner >= WRONG_ID)
		send_one(server, true);
	send_one(server, false);
}

static inline void on_late(struct loop_source *source, void *data)
{
	(void)source;
	send_answer(data);
}

static inline void on_asked(struct loop_source *source, int fd, uint32_t events, void *data)
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
static inline void on_connection(struct loop_source *source, int fd, uint32_t events, void *data)
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

static inline void open_server(struct fixture *fixture, size_t at)
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

static inline void close_server(struct server *server)
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

static inline void set_servers(struct fixture *fixture, size_t first, size_t count)
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

static inline void open_fixture(struct fixture *fixture, uint32_t flags, const char *const *allow)
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

static inline void close_fixture(struct fixture *fixture)
{
	dns_free(fixture->dns);
	policy_free(fixture->policy);
	for (size_t i = 0; i < SERVERS; i++)
		close_server(&fixture->servers[i]);
	loop_free(fixture->loop);
	text_clear(&fixture->said);
}

static inline void send_question(struct fixture *fixture, uint16_t id, const char *name, uint64_t from)
{
	uint8_t message[1024];
	size_t size = write_question(message, id, name, ns_t_a, 0);

	dns_query(fixture->dns, message, size, from);
}

static inline void wait_for_replies(struct fixture *fixture, unsigned count)
{
	uint64_t give_up = time_monotonic_ms() + 60000;

	while (fixture->replies < count && time_monotonic_ms() < give_up)
		loop_turn(fixture->loop, 1000);
	assert_int_equal(fixture->replies, count);
}

static inline const char *ask(struct fixture *fixture, const char *name)
{
	fixture->replies = 0;
	send_question(fixture, 4242, name, 7);
	wait_for_replies(fixture, 1);
	assert_int_equal(fixture->id, 4242);
	return fixture->said.data;
}
/* The machine's end of a connection to the resolver. */
static inline int connect_to(struct fixture *fixture)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	dns_serve(fixture->dns, pair[1]);
	return pair[0];
}

static inline void send_by_tcp(int fd, const char *name, uint16_t id, unsigned type)
{
	uint8_t message[2 + 1024];
	size_t size = write_question(message + 2, id, name, type, 0);

	ns_put16((unsigned)size, message);
	assert_int_equal(send(fd, message, size + 2, MSG_NOSIGNAL), (ssize_t)size + 2);
}

/* Bytes that arrive; fewer than asked for at the end. */
static inline size_t receive(struct fixture *fixture, int fd, uint8_t *buffer, size_t size)
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

static inline bool permitted(struct fixture *fixture, const char *to)
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

/* Each question that waits has a socket. */
static inline void allow_many_sockets(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
}
