/* What a guest that keeps to nothing sends on the ports' link, behind the marker, while it has connections and a flow
 * of datagrams. */
#include "network/datagrams.h"
#include "network/ports.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 4, PORT = 80, TURNS_MAX = 10000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t marker[WIRE_MARKER] = "0123456789abcde";

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void on_listening(const struct port_socket *sockets, size_t count, void *data)
{
	(void)data;
	require(count <= WIRE_PORTS_MAX);
	for (size_t i = 0; i < count; i++) {
		struct in6_addr address;

		require(sockets[i].port > 0);
		require(inet_pton(AF_INET, sockets[i].address, &address) == 1 ||
			inet_pton(AF_INET6, sockets[i].address, &address) == 1);
	}
}

static const struct ports_callbacks callbacks = {on_listening};

static void drain(int fd)
{
	char bytes[4096];

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static struct datagrams *serve_datagrams(struct ports *ports)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct datagrams *datagrams = NULL;
	socklen_t size = sizeof(any);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	require(bind(fd, (struct sockaddr *)&any, size) == 0 && getsockname(fd, (struct sockaddr *)&any, &size) == 0);
	require(datagrams_new(&datagrams, ports, PORT, fd, NULL, NULL) == 0);
	require(sendto(fd, "x", 1, 0, (struct sockaddr *)&any, size) == 1); /* its own client */
	return datagrams;
}

static void run(struct loop *loop, struct ports *ports, int guest, const int *clients, const uint8_t *data, size_t size)
{
	for (int turn = 0; turn < TURNS_MAX; turn++) {
		ssize_t n = size > 0 ? send(guest, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

		data += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
		drain(guest);
		for (int i = 0; i < CONNECTIONS / 2; i++) /* the others don't read */
			drain(clients[i]);
		if (!loop_turn(loop, 0) && (size == 0 || !ports_are_up(ports)))
			break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct datagrams *datagrams;
	struct ports *ports = NULL;
	struct loop *loop = NULL;
	int ends[2], clients[CONNECTIONS];

	require(loop_new(&loop) == 0);
	require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	require(ports_new(&ports, loop, ends[0], marker, &callbacks, NULL) == 0);
	require(send(ends[1], marker, WIRE_MARKER, 0) == WIRE_MARKER);
	while (!ports_are_up(ports))
		loop_turn(loop, -1);
	for (int i = 0; i < CONNECTIONS; i++) {
		int pair[2];

		require(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
		clients[i] = pair[0];
		ports_connect(ports, PORT, pair[1]);
		require(send(clients[i], "hello", 5, 0) == 5);
	}
	datagrams = serve_datagrams(ports);
	while (loop_turn(loop, 0))
		;
	run(loop, ports, ends[1], clients, data, size);
	datagrams_free(datagrams);
	ports_free(ports);
	for (int i = 0; i < CONNECTIONS; i++)
		close(clients[i]);
	close(ends[1]);
	loop_free(loop);
	return 0;
}
