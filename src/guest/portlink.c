/*
 * What is on the link is the mux's (forward/mux.h), the same as the host's, and the flows' of guest/udpflow.h. Here is
 * who answers: connects to the address at which a service listens, which is always in the machine itself, so that
 * nothing has to be waited for but a service that doesn't take its connections.
 *
 * The host's end of a virtio port may be closed: that the kernel tells by EPOLLHUP for as long as it lasts, and it is
 * waited for by an edge, as guest/link.c does.
 */
#include "guest/portlink.h"

#include "base/log.h"
#include "forward/mux.h"
#include "guest/listening.h"
#include "guest/udpflow.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

struct portlink {
	struct loop *loop;
	struct mux *mux;
	struct udpflows *flows;
	struct listening *listening;
	struct loop_source *away; /* while the host is */
	int fd;                   /* the mux's */
	uint8_t marker[WIRE_MARKER];
};

static void begin(struct portlink *link)
{
	int result = mux_begin(link->mux, link->marker);

	if (result < 0)
		log_info("the machine's ports cannot be reached: %s", strerror(-result));
}

static void on_away_event(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct portlink *link = data;

	(void)fd;
	if (events & EPOLLHUP)
		return;
	loop_source_free(source);
	link->away = NULL;
	begin(link);
}

static void on_up(void *data)
{
	struct portlink *link = data;

	listening_start(link->listening);
}

static void on_down(const char *why, void *data)
{
	struct portlink *link = data;

	if (why)
		log_info("the host broke the protocol of ports: %s", why);
	udpflows_end(link->flows);
	listening_stop(link->listening);
	if (!why &&
	    loop_add_fd(&link->away, link->loop, link->fd, EPOLLIN | EPOLLOUT | EPOLLET, on_away_event, link) < 0)
		log_info("the machine's ports cannot be reached: the link cannot be watched");
}

static void on_listening(const char *const *sockets, void *data)
{
	struct portlink *link = data;

	mux_send(link->mux, MESSAGE_PORT_LISTENING, &(struct message_port_listening){.sockets = sockets});
}

/* Connecting. */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Its size, or 0: it is none. */
static socklen_t parse_address(union address *ret, const char *text, uint16_t port)
{
	*ret = (union address){0};
	if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(port);
		return sizeof(ret->v4);
	}
	*ret = (union address){0};
	if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) != 1)
		return 0;
	ret->v6.sin6_family = AF_INET6;
	ret->v6.sin6_port = htons(port);
	return sizeof(ret->v6);
}

/* A socket or -errno. Within a machine all is decided when connect() returns, though it doesn't tell so at once; but
 * where a service lets others wait. */
static int dial(bool *ret_connecting, int type, const char *text, uint16_t port)
{
	union address address;
	socklen_t size = parse_address(&address, text, port);
	auto_close int fd = size ? socket(address.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) : -1;
	int on = 1, result;

	if (!size)
		return -EPROTO;
	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	result = connect(fd, &address.any, size) < 0 ? -errno : 0;
	if (result == -EINPROGRESS)
		result = connect(fd, &address.any, size) < 0 ? -errno : 0;
	*ret_connecting = result == -EALREADY || result == -EINPROGRESS;
	if (result < 0 && result != -EISCONN && !*ret_connecting)
		return result;
	return TAKE_FD(fd);
}

static int dial_any(bool *ret_connecting, int type, const struct message_port_connect *body)
{
	int fd;

	if (*body->address)
		return dial(ret_connecting, type, body->address, (uint16_t)body->port);
	fd = dial(ret_connecting, type, "127.0.0.1", (uint16_t)body->port);
	return fd < 0 && fd != -EPROTO ? dial(ret_connecting, type, "::1", (uint16_t)body->port) : fd;
}

static bool connect_stream(struct portlink *link, const struct message_port_connect *body)
{
	struct connection *connection = mux_accept(link->mux, body->connection);
	bool connecting = false;
	int fd;

	if (!connection)
		return false;
	fd = dial_any(&connecting, SOCK_STREAM, body);
	if (fd < 0)
		listening_tell(link->listening); /* the host thinks otherwise */
	mux_attach(link->mux, connection, fd, connecting);
	return fd != -EPROTO;
}

static bool handle_connect(struct portlink *link, const struct message_port_connect *body)
{
	bool connecting = false;

	if (body->port == 0 || body->port > UINT16_MAX)
		return false;
	if (body->protocol == IPPROTO_TCP)
		return connect_stream(link, body);
	return body->protocol == IPPROTO_UDP &&
	       udpflows_add(link->flows, body->connection, dial_any(&connecting, SOCK_DGRAM, body));
}

static bool on_message(const struct message *message, void *data)
{
	struct message_port_connect body;
	struct portlink *link = data;

	switch ((unsigned)message->kind) {
	case MESSAGE_PORT_CONNECT:
		return message_get(&body, message->kind, message->payload, message->size) == 0 &&
		       handle_connect(link, &body);
	case MESSAGE_PORT_SCAN:
		listening_tell(link->listening);
		return message->size == 0;
	default:
		return udpflows_handle(link->flows, message);
	}
}

static const struct mux_callbacks callbacks = {on_up, on_down, on_message};

int portlink_new(struct portlink **ret, struct loop *loop, int fd)
{
	struct portlink *link = calloc(1, sizeof(*link));
	int result;

	if (!link) {
		cleanup_close(&fd);
		return -ENOMEM;
	}
	*link = (struct portlink){.loop = loop, .fd = fd};
	result = mux_new(&link->mux, loop, MUX_GUEST, fd, &callbacks, link);
	if (result == 0)
		result = udpflows_new(&link->flows, loop, link->mux);
	if (result == 0)
		result = listening_new(&link->listening, loop, on_listening, link);
	if (result < 0) {
		portlink_free(link);
		return result;
	}
	*ret = link;
	return 0;
}

void portlink_free(struct portlink *link)
{
	if (!link)
		return;
	loop_source_free(link->away);
	listening_free(link->listening);
	udpflows_free(link->flows);
	mux_free(link->mux);
	free(link);
}

void portlink_begin(struct portlink *link, const uint8_t marker[WIRE_MARKER])
{
	if (!link)
		return;
	loop_source_free(link->away);
	link->away = NULL;
	memcpy(link->marker, marker, WIRE_MARKER);
	udpflows_end(link->flows);
	listening_stop(link->listening);
	begin(link);
}

void portlink_hurry(struct portlink *link)
{
	if (link)
		listening_hurry(link->listening);
}
