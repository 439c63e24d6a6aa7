/*
 * The link itself, and what is on it, is the mux's (forward/mux.h), the same as the guest's; datagrams are those of
 * network/datagrams.h. Here is who begins: what listens, as the guest says, and where a connection is to go.
 */
#include "network/ports.h"

#include "base/log.h"
#include "forward/mux.h"
#include "network/datagrams.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

struct ports {
	struct loop *loop;
	struct mux *mux;
	struct flows *flows;
	const struct ports_callbacks *callbacks;
	void *data;
	struct services services;
	bool scanning; /* it is asked, and has not answered */
};

static void set_services(struct ports *ports, struct services *services)
{
	services_clear(&ports->services);
	ports->services = *services;
	*services = (struct services){0};
	ports->callbacks->on_listening(ports->services.sockets, ports->services.count, ports->data);
}

/* Whatever was known of a guest that can't be heard. */
static void forget(struct ports *ports)
{
	struct services none = {0};

	ports->scanning = false;
	flows_end(ports->flows);
	if (ports->services.count > 0)
		set_services(ports, &none);
}

static void on_up(void *data)
{
	(void)data; /* the guest tells what listens without being asked */
}

static void on_down(const char *why, void *data)
{
	struct ports *ports = data;

	if (why)
		log_info("the guest broke the protocol of ports, which are gone: %s", why);
	forget(ports);
}

static bool on_listening(struct ports *ports, const struct message *message)
{
	struct message_port_listening body;
	struct services services = {0};
	int result;

	if (message_get(&body, message->kind, message->payload, message->size) < 0)
		return false;
	result = services_parse(&services, body.sockets);
	message_clear(&body, message->kind);
	if (result == 0)
		set_services(ports, &services);
	else if (result != -EPROTO)
		log_info("what listens in the machine is lost: %s", strerror(-result));
	ports->scanning = false;
	return result != -EPROTO;
}

static bool on_message(const struct message *message, void *data)
{
	struct ports *ports = data;

	if (message->kind == MESSAGE_PORT_LISTENING)
		return on_listening(ports, message);
	return flows_handle(ports->flows, message);
}

static const struct mux_callbacks mux_callbacks = {on_up, on_down, on_message};

int ports_new(struct ports **ret, struct loop *loop, int fd, const uint8_t marker[WIRE_MARKER],
	      const struct ports_callbacks *callbacks, void *data)
{
	struct ports *ports = calloc(1, sizeof(*ports));
	int result;

	if (!ports) {
		cleanup_close(&fd);
		return -ENOMEM;
	}
	*ports = (struct ports){.loop = loop, .callbacks = callbacks, .data = data};
	result = mux_new(&ports->mux, loop, MUX_HOST, fd, &mux_callbacks, ports);
	if (result == 0)
		result = mux_begin(ports->mux, marker);
	if (result == 0)
		result = flows_new(&ports->flows, loop, ports->mux);
	if (result < 0) {
		ports_free(ports);
		return result;
	}
	*ret = ports;
	return 0;
}

void ports_free(struct ports *ports)
{
	if (!ports)
		return;
	flows_free(ports->flows);
	mux_free(ports->mux);
	services_clear(&ports->services);
	free(ports);
}

bool ports_are_up(const struct ports *ports)
{
	return mux_is_up(ports->mux);
}

void ports_scan(struct ports *ports)
{
	if (ports->scanning || !mux_is_up(ports->mux))
		return;
	ports->scanning = true;
	mux_send(ports->mux, MESSAGE_PORT_SCAN, NULL);
}

static void reset(int fd)
{
	const struct linger at_once = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	cleanup_close(&fd);
}

void ports_connect(struct ports *ports, uint16_t port, int fd)
{
	struct connection *connection = mux_open(ports->mux);
	int on = 1;

	if (!connection) {
		reset(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* as it comes */
	mux_send(ports->mux, MESSAGE_PORT_CONNECT,
		 &(struct message_port_connect){.connection = connection->number,
						.protocol = IPPROTO_TCP,
						.address = services_address(&ports->services, IPPROTO_TCP, port),
						.port = port});
	mux_attach(ports->mux, connection, fd, false);
}

struct flows *ports_flows(struct ports *ports)
{
	return ports->flows;
}

const struct services *ports_services(const struct ports *ports)
{
	return &ports->services;
}
