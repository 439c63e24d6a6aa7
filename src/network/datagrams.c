/*
 * A flow's number is its place in the table. It is found by its client in a hash table, whose chains are as short as
 * the table is large, and stands in a line by when it was used last: the first is the one to be forgotten. A flow that
 * ended here keeps its number until the guest has said DISCONNECT too; what still comes for it is dropped.
 *
 * Of a socket bound to all addresses it matters where a client sent to: that is where the answer has to come from.
 */
#include "network/datagrams.h"

#include "base/hash.h"
#include "base/time.h"
#include "forward/mux.h"

#include <stdalign.h>
#include <string.h>

enum { AT_ONCE = 32, BUCKETS = WIRE_PORT_FLOWS_MAX, CONTROL_SIZE = 128, DATAGRAM_MAX = 65507 };

struct peer {
	struct sockaddr_storage client;
	socklen_t client_size;
	bool has_local;
	union {
		struct in_pktinfo v4;
		struct in6_pktinfo v6;
	} local; /* where it sent to */
};

struct flow {
	struct flow *chain;           /* of its bucket */
	struct flow *previous, *next; /* by use */
	struct datagrams *owner;      /* NULL: it has ended here */
	struct peer peer;
	uint32_t number, hash;
	uint64_t used_ms;
	uint64_t admitted; /* in which turn of its socket */
};

struct flows {
	struct loop *loop;
	struct mux *mux;
	struct loop_source *timer; /* while there are some */
	struct flow *oldest, *newest;
	struct flow *buckets[BUCKETS];
	struct flow *table[WIRE_PORT_FLOWS_MAX];
	size_t count, open; /* of those in the table; of those that have not ended */
};

struct datagrams {
	struct ports *ports;
	struct flows *flows;
	struct loop_source *source;
	uint16_t port;
	int fd;
	uint64_t turn; /* the number of times that it was read */
	datagrams_admit_fn *admit;
	void *data;
};

/* What tells clients apart: no more of a socket's address than that. */
struct key {
	struct in6_addr address;
	uint32_t scope;
	uint16_t port, family;
};

static struct key key_of(const struct sockaddr_storage *client)
{
	struct key key = {.family = client->ss_family};

	if (client->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)client;

		memcpy(&key.address, &in->sin_addr, sizeof(in->sin_addr));
		key.port = in->sin_port;
	} else {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)client;

		key.address = in->sin6_addr;
		key.port = in->sin6_port;
		key.scope = in->sin6_scope_id;
	}
	return key;
}

/* Who makes chains long by choosing addresses has them for himself; there are never more than flows. */
static uint32_t hash_of(const struct datagrams *datagrams, const struct key *key)
{
	return hash_bytes(HASH_BEGIN ^ (uint32_t)datagrams->fd, key, sizeof(*key));
}

static void unlink_flow(struct flows *flows, struct flow *flow)
{
	struct flow **at = &flows->buckets[flow->hash % BUCKETS];

	while (*at != flow)
		at = &(*at)->chain;
	*at = flow->chain;
	if (flow->previous)
		flow->previous->next = flow->next;
	else
		flows->oldest = flow->next;
	if (flow->next)
		flow->next->previous = flow->previous;
	else
		flows->newest = flow->previous;
	flow->previous = flow->next = NULL;
}

static void append(struct flows *flows, struct flow *flow)
{
	flow->previous = flows->newest;
	flow->next = NULL;
	if (flows->newest)
		flows->newest->next = flow;
	else
		flows->oldest = flow;
	flows->newest = flow;
}

static void link_flow(struct flows *flows, struct flow *flow)
{
	flow->chain = flows->buckets[flow->hash % BUCKETS];
	flows->buckets[flow->hash % BUCKETS] = flow;
	append(flows, flow);
}

static void use(struct flows *flows, struct flow *flow)
{
	flow->used_ms = time_monotonic_ms();
	if (!flow->next)
		return;
	flow->next->previous = flow->previous;
	if (flow->previous)
		flow->previous->next = flow->next;
	else
		flows->oldest = flow->next;
	append(flows, flow);
}

/* It has ended here; the guest is told. */
static void end(struct flows *flows, struct flow *flow)
{
	unlink_flow(flows, flow);
	flow->owner = NULL;
	flows->open--;
	mux_send(flows->mux, MESSAGE_DISCONNECT, &(struct message_disconnect){.connection = flow->number});
}

static void drop(struct flows *flows, struct flow *flow)
{
	if (flow->owner) {
		unlink_flow(flows, flow);
		flows->open--;
	}
	flows->table[flow->number - WIRE_PORT_FLOW_FIRST] = NULL;
	flows->count--;
	free(flow);
}

static void on_timer(struct loop_source *source, void *data)
{
	struct flows *flows = data;
	uint64_t now = time_monotonic_ms(), idle_ms = (uint64_t)FLOW_IDLE_S * 1000;

	while (flows->oldest && now - flows->oldest->used_ms >= idle_ms)
		end(flows, flows->oldest);
	if (flows->oldest)
		loop_timer_restart(source, flows->oldest->used_ms + idle_ms - now);
}

static struct flow *find(const struct flows *flows, const struct datagrams *owner, const struct key *key)
{
	struct flow *flow = flows->buckets[hash_of(owner, key) % BUCKETS];

	for (; flow; flow = flow->chain) {
		struct key other = key_of(&flow->peer.client);

		if (flow->owner == owner && memcmp(&other, key, sizeof(other)) == 0)
			break;
	}
	return flow;
}

/* A free number's place, or -1. */
static int find_place(struct flows *flows)
{
	if (flows->open == WIRE_PORT_FLOWS_MAX)
		end(flows, flows->oldest);
	for (size_t i = 0; flows->count < WIRE_PORT_FLOWS_MAX && i < WIRE_PORT_FLOWS_MAX; i++) {
		if (!flows->table[i])
			return (int)i;
	}
	return -1;
}

static struct flow *begin(struct datagrams *datagrams, const struct peer *peer, const struct key *key)
{
	struct flows *flows = datagrams->flows;
	struct flow *flow;
	int place;

	place = find_place(flows);
	flow = place < 0 ? NULL : calloc(1, sizeof(*flow));
	if (!flow)
		return NULL;
	*flow = (struct flow){.owner = datagrams,
			      .peer = *peer,
			      .number = WIRE_PORT_FLOW_FIRST + (uint32_t)place,
			      .hash = hash_of(datagrams, key),
			      .admitted = datagrams->turn,
			      .used_ms = time_monotonic_ms()};
	if (!flows->oldest)
		loop_timer_restart(flows->timer, (uint64_t)FLOW_IDLE_S * 1000);
	link_flow(flows, flow);
	flows->table[place] = flow;
	flows->count++;
	flows->open++;
	mux_send(flows->mux, MESSAGE_PORT_CONNECT,
		 &(struct message_port_connect){
			 .connection = flow->number,
			 .protocol = IPPROTO_UDP,
			 .address = services_address(ports_services(datagrams->ports), IPPROTO_UDP, datagrams->port),
			 .port = datagrams->port});
	return flow;
}

static void find_local(struct peer *peer, struct msghdr *header)
{
	for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
		if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
			memcpy(&peer->local.v4, CMSG_DATA(at), sizeof(peer->local.v4));
			/* As an address to send from, on whatever interface. */
			peer->local.v4 = (struct in_pktinfo){.ipi_spec_dst = peer->local.v4.ipi_spec_dst};
			peer->has_local = true;
		} else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
			memcpy(&peer->local.v6, CMSG_DATA(at), sizeof(peer->local.v6));
			peer->has_local = true;
		}
	}
}

/* A port that one client has left may be another's by now, who would take over the flow with it: so it is asked again
 * whose it is, each time that the socket is read. What that one was still to be answered is lost. */
static bool may_talk(struct datagrams *datagrams, struct flow *flow, const struct sockaddr_storage *client)
{
	if (!datagrams->admit || (flow && flow->admitted == datagrams->turn))
		return true;
	if (datagrams->admit(client, datagrams->data)) {
		if (flow)
			flow->admitted = datagrams->turn;
		return true;
	}
	if (flow)
		end(datagrams->flows, flow);
	return false;
}

/* False: there is nothing more to read now. */
static bool receive(struct datagrams *datagrams)
{
	uint8_t frame[FRAME_HEADER + TRANSFER_HEADER + DATAGRAM_MAX];
	alignas(struct cmsghdr) char control[CONTROL_SIZE];
	struct peer peer = {0};
	struct iovec into = {frame + FRAME_HEADER + TRANSFER_HEADER, DATAGRAM_MAX};
	struct msghdr header = {.msg_name = &peer.client,
				.msg_namelen = sizeof(peer.client),
				.msg_iov = &into,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(datagrams->fd, &header, MSG_DONTWAIT);
	struct flow *flow;
	struct key key;

	if (n < 0)
		return errno != EAGAIN; /* or what an earlier answer met: nobody was there any more */
	if (!mux_has_room_for_datagrams(datagrams->flows->mux) ||
	    (peer.client.ss_family != AF_INET && peer.client.ss_family != AF_INET6))
		return true;
	peer.client_size = header.msg_namelen;
	find_local(&peer, &header);
	key = key_of(&peer.client);
	flow = find(datagrams->flows, datagrams, &key);
	if (!may_talk(datagrams, flow, &peer.client))
		return true;
	if (!flow)
		flow = begin(datagrams, &peer, &key);
	if (!flow)
		return true;
	use(datagrams->flows, flow);
	message_put_connection(frame + FRAME_HEADER, flow->number);
	mux_send_data(datagrams->flows->mux, MESSAGE_PORT_DATAGRAM, frame + FRAME_HEADER, TRANSFER_HEADER + (size_t)n);
	return true;
}

static void on_event(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct datagrams *datagrams = data;

	(void)source;
	(void)fd;
	(void)events;
	datagrams->turn++;
	for (int i = 0; i < AT_ONCE && receive(datagrams); i++)
		;
}

int datagrams_new(struct datagrams **ret, struct ports *ports, uint16_t port, int fd, datagrams_admit_fn *admit,
		  void *data)
{
	struct datagrams *datagrams = calloc(1, sizeof(*datagrams));
	int on = 1, result;

	if (!datagrams)
		return -ENOMEM;
	*datagrams = (struct datagrams){
		.ports = ports, .flows = ports_flows(ports), .port = port, .fd = fd, .admit = admit, .data = data};
	/* Each only fits one family. */
	setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	result = loop_add_fd(&datagrams->source, datagrams->flows->loop, fd, EPOLLIN, on_event, datagrams);
	if (result < 0) {
		free(datagrams);
		return result;
	}
	*ret = datagrams;
	return 0;
}

void datagrams_free(struct datagrams *datagrams)
{
	struct flow *next;

	if (!datagrams)
		return;
	for (struct flow *flow = datagrams->flows->oldest; flow; flow = next) {
		next = flow->next;
		if (flow->owner == datagrams)
			end(datagrams->flows, flow);
	}
	loop_source_free(datagrams->source);
	cleanup_close(&datagrams->fd);
	free(datagrams);
}

int flows_new(struct flows **ret, struct loop *loop, struct mux *mux)
{
	struct flows *flows = calloc(1, sizeof(*flows));
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

void flows_end(struct flows *flows)
{
	for (size_t i = 0; i < WIRE_PORT_FLOWS_MAX && flows->count > 0; i++) {
		if (flows->table[i])
			drop(flows, flows->table[i]);
	}
}

void flows_free(struct flows *flows)
{
	if (!flows)
		return;
	flows_end(flows);
	loop_source_free(flows->timer);
	free(flows);
}

/* To its client. */
static void answer(struct flow *flow, const void *bytes, size_t size)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(flow->peer.local))] = {0};
	struct iovec from = {(void *)bytes, size};
	struct msghdr header = {.msg_name = &flow->peer.client,
				.msg_namelen = flow->peer.client_size,
				.msg_iov = &from,
				.msg_iovlen = 1};
	bool v4 = flow->peer.client.ss_family == AF_INET;
	size_t local = v4 ? sizeof(flow->peer.local.v4) : sizeof(flow->peer.local.v6);
	struct cmsghdr *at;

	if (flow->peer.has_local) {
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(local);
		at = CMSG_FIRSTHDR(&header);
		at->cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
		at->cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
		at->cmsg_len = CMSG_LEN(local);
		memcpy(CMSG_DATA(at), &flow->peer.local, local);
	}
	if (sendmsg(flow->owner->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return; /* as it would be on a network that is too slow */
}

static struct flow *at_number(const struct flows *flows, uint32_t number)
{
	return number >= WIRE_PORT_FLOW_FIRST && number - WIRE_PORT_FLOW_FIRST < WIRE_PORT_FLOWS_MAX
		       ? flows->table[number - WIRE_PORT_FLOW_FIRST]
		       : NULL;
}

static bool handle_datagram(struct flows *flows, const struct message *message)
{
	struct flow *flow;
	uint32_t number = 0;

	if (message_get_connection(&number, message->payload, message->size) < 0 ||
	    message->size > TRANSFER_HEADER + DATAGRAM_MAX)
		return false;
	flow = at_number(flows, number);
	if (flow && flow->owner) {
		use(flows, flow);
		answer(flow, message->payload + TRANSFER_HEADER, message->size - TRANSFER_HEADER);
	}
	return flow != NULL;
}

static bool handle_disconnect(struct flows *flows, const struct message *message)
{
	struct message_disconnect disconnect;
	struct flow *flow;

	if (message_get(&disconnect, message->kind, message->payload, message->size) < 0)
		return false;
	flow = at_number(flows, disconnect.connection);
	if (!flow)
		return false;
	if (flow->owner)
		end(flows, flow);
	drop(flows, flow);
	return true;
}

bool flows_handle(struct flows *flows, const struct message *message)
{
	if (message->kind == MESSAGE_PORT_DATAGRAM)
		return handle_datagram(flows, message);
	return message->kind == MESSAGE_DISCONNECT && handle_disconnect(flows, message);
}
