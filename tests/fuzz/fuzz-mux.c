/* What a host that keeps to nothing sends to the guest's end of the ports' link: the marker, and more. Each connection
 * is one with whoever sends back what it gets. */
#include "forward/mux.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURNS_MAX = 10000, ECHOES_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t marker[WIRE_MARKER] = "0123456789abcde";

struct guest {
	struct mux *mux;
	bool down;
	int echoes[ECHOES_MAX];
	size_t count;
};

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void on_up(void *data)
{
	const struct guest *guest = data;

	require(mux_is_up(guest->mux) && mux_count(guest->mux) == 0);
}

static void on_down(const char *why, void *data)
{
	struct guest *guest = data;

	(void)why;
	require(!mux_is_up(guest->mux) && mux_count(guest->mux) == 0);
	guest->down = true;
}

static bool connect_(struct guest *guest, const struct message_port_connect *body)
{
	struct connection *connection = mux_accept(guest->mux, body->connection);
	int pair[2] = {-ECONNREFUSED, -1};

	if (!connection)
		return false;
	if (guest->count < ECHOES_MAX && body->port % 2) {
		require(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
		guest->echoes[guest->count++] = pair[1];
	}
	mux_attach(guest->mux, connection, pair[0], body->port % 3 == 0);
	return true;
}

static bool on_message(const struct message *message, void *data)
{
	struct message_port_connect body;

	return message->kind == MESSAGE_PORT_CONNECT &&
	       message_get(&body, message->kind, message->payload, message->size) == 0 && connect_(data, &body);
}

static const struct mux_callbacks callbacks = {on_up, on_down, on_message};

static void echo(struct guest *guest)
{
	char bytes[4096];
	ssize_t n;

	for (size_t i = 0; i < guest->count; i++) {
		n = recv(guest->echoes[i], bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n > 0 && send(guest->echoes[i], bytes, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			shutdown(guest->echoes[i], SHUT_WR);
		if (n == 0)
			shutdown(guest->echoes[i], SHUT_WR);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guest guest = {0};
	struct loop *loop = NULL;
	char bytes[4096];
	int ends[2];

	require(loop_new(&loop) == 0);
	require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	require(mux_new(&guest.mux, loop, MUX_GUEST, ends[0], &callbacks, &guest) == 0);
	require(mux_begin(guest.mux, marker) == 0);
	for (int turn = 0; turn < TURNS_MAX; turn++) {
		ssize_t n = size > 0 ? send(ends[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

		data += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
		while (recv(ends[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
		echo(&guest);
		require(mux_count(guest.mux) <= WIRE_PORT_CONNECTIONS_MAX);
		if (!loop_turn(loop, 0) && (size == 0 || guest.down))
			break;
	}
	mux_free(guest.mux);
	for (size_t i = 0; i < guest.count; i++)
		close(guest.echoes[i]);
	close(ends[1]);
	loop_free(loop);
	return 0;
}
