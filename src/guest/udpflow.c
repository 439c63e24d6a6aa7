/*
 * The host ends flows that are idle. The guest does, too, a little later: it doesn't rely on that. A flow that has
 * ended here keeps its number until the host has said DISCONNECT.
 */
#include "guest/udpflow.h"

#include "base/time.h"

#include <sys/socket.h>

enum { AT_ONCE = 32, DATAGRAM_MAX = 65507, IDLE_MS = 150000, CHECK_MS = 30000 };

struct udpflow {
	struct udpflows *all;
	struct loop_source *source; /* NULL: it has ended here */
	int fd;
	uint32_t number;
	uint64_t used_ms;
};

struct udpflows {
	struct loop *loop;
	struct mux *mux;
	struct loop_source *timer;
	size_t count;
	struct udpflow *table[WIRE_PORT_FLOWS_MAX];
};

static void end(struct udpflow *flow)
{
	loop_source_free(flow->source);
	flow->source = NULL;
	cleanup_close(&flow->fd);
	flow->fd = -1;
	mux_send(flow->all->mux, MESSAGE_DISCONNECT, &(struct message_disconnect){.connection = flow->number});
}

static void drop(struct udpflow *flow)
{
	struct udpflows *flows = flow->all;

	loop_source_free(flow->source);
	cleanup_close(&flow->fd);
	flows->table[flow->number - WIRE_PORT_FLOW_FIRST] = NULL;
	flows->count--;
	free(flow);
}

static void on_timer(struct loop_source *source, void *data)
{
	struct udpflows *flows = data;
	uint64_t now = time_monotonic_ms();

	for (size_t i = 0; i < WIRE_PORT_FLOWS_MAX; i++) {
		struct udpflow *flow = flows->table[i];

		if (flow && flow->source && now - flow->used_ms >= IDLE_MS)
			end(flow);
	}
	if (flows->count > 0)
		loop_timer_restart(source, CHECK_MS);
}

static bool receive(struct udpflow *flow)
{
	uint8_t frame[FRAME_HEADER + TRANSFER_HEADER + DATAGRAM_MAX];
	ssize_t n = recv(flow->fd, frame + FRAME_HEADER + TRANSFER_HEADER, DATAGRAM_MAX, MSG_DONTWAIT);

	if (n < 0)
		return errno != EAGAIN; /* or nobody listened to an earlier datagram */
	flow->used_ms = time_monotonic_ms();
	if (!mux_has_room_for_datagrams(flow->all->mux))
		return true;
	message_put_connection(frame + FRAME_HEADER, flow->number);
	mux_send_data(flow->all->mux, MESSAGE_PORT_DATAGRAM, frame + FRAME_HEADER, TRANSFER_HEADER + (size_t)n);
	return true;
}

static void on_event(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	for (int i = 0; i < AT_ONCE && receive(data); i++)
		;
}

bool udpflows_add(struct udpflows *flows, uint32_t number, int fd)
{
	size_t place = number - WIRE_PORT_FLOW_FIRST;
	struct udpflow *flow = NULL;

	if (number >= WIRE_PORT_FLOW_FIRST && place < WIRE_PORT_FLOWS_MAX && !flows->table[place])
		flow = calloc(1, sizeof(*flow));
	if (!flow) {
		cleanup_close(&fd);
		return false;
	}
	*flow = (struct udpflow){.all = flows, .fd = fd, .number = number, .used_ms = time_monotonic_ms()};
	flows->table[place] = flow;
	if (flows->count++ == 0)
		loop_timer_restart(flows->timer, CHECK_MS);
	if (fd < 0 || loop_add_fd(&flow->source, flows->loop, fd, EPOLLIN, on_event, flow) < 0)
		end(flow);
	return true;
}

static struct udpflow *at_number(const struct udpflows *flows, uint32_t number)
{
	return number >= WIRE_PORT_FLOW_FIRST && number - WIRE_PORT_FLOW_FIRST < WIRE_PORT_FLOWS_MAX
		       ? flows->table[number - WIRE_PORT_FLOW_FIRST]
		       : NULL;
}

static bool handle_datagram(struct udpflows *flows, const struct message *message)
{
	struct udpflow *flow;
	uint32_t number = 0;

	if (message_get_connection(&number, message->payload, message->size) < 0)
		return false;
	flow = at_number(flows, number);
	if (!flow)
		return false;
	flow->used_ms = time_monotonic_ms();
	/* One that can't be sent is lost, as on a network. */
	if (flow->source && send(flow->fd, message->payload + TRANSFER_HEADER, message->size - TRANSFER_HEADER,
				 MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return true;
	return true;
}

static bool handle_disconnect(struct udpflows *flows, const struct message *message)
{
	struct message_disconnect disconnect;
	struct udpflow *flow;

	if (message_get(&disconnect, message->kind, message->payload, message->size) < 0)
		return false;
	flow = at_number(flows, disconnect.connection);
	if (!flow)
		return false;
	if (flow->source)
		end(flow);
	drop(flow);
	return true;
}

bool udpflows_handle(struct udpflows *flows, const struct message *message)
{
	if (message->kind == MESSAGE_PORT_DATAGRAM)
		return handle_datagram(flows, message);
	return message->kind == MESSAGE_DISCONNECT && handle_disconnect(flows, message);
}

int udpflows_new(struct udpflows **ret, struct loop *loop, struct mux *mux)
{
	struct udpflows *flows = calloc(1, sizeof(*flows));
	int result;

	if (!flows)
		return -ENOMEM;
	flows->loop = loop;
	flows->mux = mux;
	result = loop_add_timer(&flows->timer, loop, UINT64_MAX, on_timer, flows);
	if (result < 0) {
		free(flows);
		return result;
	}
	*ret = flows;
	return 0;
}

void udpflows_end(struct udpflows *flows)
{
	for (size_t i = 0; i < WIRE_PORT_FLOWS_MAX && flows->count > 0; i++) {
		if (flows->table[i])
			drop(flows->table[i]);
	}
}

void udpflows_free(struct udpflows *flows)
{
	if (!flows)
		return;
	udpflows_end(flows);
	loop_source_free(flows->timer);
	free(flows);
}
