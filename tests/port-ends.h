#pragma once
/*
 * Both ends of the ports' link, with a socket in the place of the virtio port between them, and real servers and
 * clients, which are threads that block as programs do. The machine is this one.
 */
#include "base/time.h"
#include "guest/portlink.h"
#include "network/datagrams.h"
#include "network/ports.h"
#include "network/services.h"

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
static int ends[2]; /* duplicates of the link's, as the supervisor keeps them */
static int door;    /* the host's socket for all ports */
static uint16_t door_port;
static size_t listed; /* how often was told what listens */

static inline void on_listening(const struct port_socket *sockets, size_t count, void *data)
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

/* Servers and clients. */

struct task {
	pthread_t thread;
	void (*fn)(int fd, struct task *task);
	int fd;
	uint64_t hash;
	uint64_t bytes, seed;
	bool done;
};

static inline void *run_task(void *data)
{
	struct task *task = data;

	task->fn(task->fd, task);
	__atomic_store_n(&task->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline void start(struct task *task, int fd, void (*fn)(int, struct task *))
{
	*task = (struct task){.fd = fd, .fn = fn};
	assert_int_equal(pthread_create(&task->thread, NULL, run_task, task), 0);
}

static inline bool is_done(struct task *task)
{
	return __atomic_load_n(&task->done, __ATOMIC_ACQUIRE);
}

static inline void finish(struct task *task)
{
	UNTIL(is_done(task));
	assert_int_equal(pthread_join(task->thread, NULL), 0);
}

static inline int bind_at(int type, const char *address, uint16_t *port)
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

static inline int serve_at(const char *address, uint16_t *port)
{
	int fd = bind_at(SOCK_STREAM, address, port);

	assert_int_equal(listen(fd, 4096), 0);
	return fd;
}

static inline int set_up(void **state)
{
	struct rlimit files;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	listed = 0;
	door_port = 0;
	door = serve_at("127.0.0.1", &door_port);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(ports_new(&ports, loop, dup(ends[0]), marker, &callbacks, NULL), 0);
	assert_int_equal(portlink_new(&guest, loop, dup(ends[1])), 0);
	portlink_begin(guest, marker);
	UNTIL(ports_are_up(ports) && listed > 0);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	ports_free(ports);
	portlink_free(guest);
	loop_free(loop);
	close(door);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static inline int dial(uint16_t port)
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
static inline int reach(uint16_t port)
{
	int client = dial(door_port), fd = accept(door, NULL, NULL);

	assert_true(fd >= 0);
	ports_connect(ports, port, fd);
	return client;
}

static inline uint64_t mix(uint64_t hash, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 1099511628211u;
	return hash;
}

static inline void make_bytes(uint8_t *bytes, size_t size, uint64_t *seed)
{
	for (size_t i = 0; i < size; i++) {
		*seed = *seed * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(*seed >> 56);
	}
}

static inline void write_piece(int fd, struct task *task)
{
	uint8_t bytes[64 << 10];

	make_bytes(bytes, sizeof(bytes), &task->seed);
	if (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) != sizeof(bytes))
		task->hash = 1;
	task->hash = mix(task->hash, bytes, sizeof(bytes));
	task->bytes += sizeof(bytes);
}

static inline void write_bulk(int fd, struct task *task)
{
	while (task->bytes < BULK)
		write_piece(fd, task);
	shutdown(fd, SHUT_WR);
}

static inline void read_all(int fd, struct task *task)
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
static inline int take(int listener)
{
	struct pollfd poll_ = {.fd = listener, .events = POLLIN};

	UNTIL(poll(&poll_, 1, 0) == 1);
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static inline bool is_readable(int fd)
{
	struct pollfd poll_ = {.fd = fd, .events = POLLIN};

	return poll(&poll_, 1, 0) == 1;
}

static inline ssize_t receive(int fd, void *bytes, size_t size)
{
	UNTIL(is_readable(fd));
	return recv(fd, bytes, size, 0);
}

static inline void expect_text(int fd, const char *text)
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

static inline void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline void expect_end(int fd)
{
	char byte;

	assert_int_equal(receive(fd, &byte, 1), 0);
}

static inline void expect_reset(int fd)
{
	char byte;

	assert_int_equal(receive(fd, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
}

static inline void reset(int fd)
{
	const struct linger at_once = {.l_onoff = 1};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(fd);
}

static inline const struct port_socket *find(uint8_t protocol, const char *address, uint16_t port)
{
	const struct services *now = ports_services(ports);
	const struct port_socket *at = now->sockets;

	for (size_t i = 0; i < now->count; i++) {
		if (at[i].protocol == protocol && at[i].port == port && strcmp(at[i].address, address) == 0)
			return &at[i];
	}
	return NULL;
}
