/*
 * libslirp wants to be asked, before each wait, which sockets it waits for. They are in an epoll set of their own,
 * which is changed only where what it wants differs from the last time, and which the loop sees as one descriptor.
 *
 * Who has which hardware address libslirp would learn by asking: it is told at the start, once for both families. Of
 * its own accord it would advertise itself as an IPv6 router, which is all that it has timers for: they never run.
 *
 * The resolver's address leads to a socket of this process. libslirp can lead a connection to a Unix socket, but then
 * the process would have to be allowed to connect to those, and the user's session bus is one, too. So such connections
 * are rewritten on their way to an address of the host's loopback, and back.
 */
#include "network/nat.h"

#include "base/log.h"
#include "base/time.h"
#include "network/address.h"
#include "network/compose.h"

#include <arpa/inet.h>
#include <libslirp.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/*
 * libslirp knows no scaled windows, so there are 64 KiB of a TCP connection under way at most. With segments of half of
 * that or more, a window that opens again by a part is of no use to either end: one in ten downloads of some MiB waited
 * for libslirp's persist timer, 5 s and more. Three segments leave no such gap. Datagrams may be longer, but for those
 * of IPv6 from the machine.
 */
enum { MTU = 21840 };

enum { LONGEST_MS = 3600 * 1000, RESOLVER_PORT = 53, TCP_FLAGS_AT = 13, TCP_SYN = 2, TCP_ACK = 16 };

struct watched {
	int wanted; /* SLIRP_POLL_…; 0: it is not in the set */
	int ready;
	uint32_t round;
	bool listed;
};

struct nat {
	struct uplink uplink; /* first */
	Slirp *slirp;
	struct nat_options options;
	int epoll;
	struct loop_source *source, *timer;
	struct watched *watched; /* by descriptor */
	int *list;               /* of those in the set, and some that were */
	size_t count, capacity;  /* of both */
	uint32_t round;
	uint8_t rewritten[PACKET_MAX];
};

/* --- which sockets are waited for --- */

static uint32_t to_epoll(int events)
{
	return (events & SLIRP_POLL_IN ? (uint32_t)EPOLLIN : 0) | (events & SLIRP_POLL_OUT ? (uint32_t)EPOLLOUT : 0) |
	       (events & SLIRP_POLL_PRI ? (uint32_t)EPOLLPRI : 0);
}

static int from_epoll(uint32_t events)
{
	return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
	       (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
	       (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

static bool make_room(struct nat *nat, size_t fd)
{
	size_t capacity = nat->capacity ? nat->capacity : 64;
	struct watched *watched;
	int *list;

	if (fd < nat->capacity)
		return true;
	while (capacity <= fd)
		capacity *= 2;
	watched = realloc(nat->watched, capacity * sizeof(*watched));
	if (!watched)
		return false;
	nat->watched = watched;
	list = realloc(nat->list, capacity * sizeof(*list));
	if (!list)
		return false;
	nat->list = list;
	memset(watched + nat->capacity, 0, (capacity - nat->capacity) * sizeof(*watched));
	nat->capacity = capacity;
	return true;
}

/* A descriptor that was closed is no longer in the set, and another may have its number by now. */
static void set_wanted(const struct nat *nat, int fd, int wanted)
{
	struct watched *watched = &nat->watched[fd];
	struct epoll_event event = {.events = to_epoll(wanted), .data.fd = fd};
	int result;

	if (watched->wanted == wanted)
		return;
	result = epoll_ctl(nat->epoll, watched->wanted ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
	if (result < 0 && errno == ENOENT)
		result = epoll_ctl(nat->epoll, EPOLL_CTL_ADD, fd, &event);
	else if (result < 0 && errno == EEXIST)
		result = epoll_ctl(nat->epoll, EPOLL_CTL_MOD, fd, &event);
	watched->wanted = result < 0 ? 0 : wanted;
}

static void unwatch(const struct nat *nat, int fd)
{
	if (!nat->watched[fd].wanted)
		return;
	(void)epoll_ctl(nat->epoll, EPOLL_CTL_DEL, fd, NULL);
	nat->watched[fd].wanted = nat->watched[fd].ready = 0;
}

static int on_add(int fd, int events, void *data)
{
	struct nat *nat = data;

	if (fd < 0 || !make_room(nat, (size_t)fd))
		return -1;
	set_wanted(nat, fd, events);
	nat->watched[fd].round = nat->round;
	if (!nat->watched[fd].listed)
		nat->list[nat->count++] = fd;
	nat->watched[fd].listed = true;
	return fd;
}

static int on_ask(int fd, void *data)
{
	const struct nat *nat = data;

	return fd < 0 || (size_t)fd >= nat->capacity ? 0 : nat->watched[fd].ready;
}

static void settle(struct uplink *uplink)
{
	struct nat *nat = (struct nat *)uplink;
	uint32_t timeout = LONGEST_MS;

	nat->round++;
	slirp_pollfds_fill(nat->slirp, &timeout, on_add, nat);
	for (size_t i = 0; i < nat->count;) {
		int fd = nat->list[i];

		if (nat->watched[fd].round == nat->round) {
			i++;
			continue;
		}
		unwatch(nat, fd);
		nat->watched[fd].listed = false;
		nat->list[i] = nat->list[--nat->count];
	}
	loop_timer_restart(nat->timer, timeout);
}

static void on_ready(struct loop_source *source, int fd, uint32_t happened, void *data)
{
	struct nat *nat = data;
	struct epoll_event events[NAT_EVENTS];
	int count = epoll_wait(nat->epoll, events, NAT_EVENTS, 0);

	(void)source, (void)fd, (void)happened;
	for (int i = 0; i < count; i++)
		nat->watched[events[i].data.fd].ready = from_epoll(events[i].events);
	slirp_pollfds_poll(nat->slirp, count < 0, on_ask, nat);
	for (int i = 0; i < count; i++)
		nat->watched[events[i].data.fd].ready = 0;
	settle(&nat->uplink);
}

static void on_time(struct loop_source *source, void *data)
{
	struct nat *nat = data;

	(void)source;
	slirp_pollfds_poll(nat->slirp, 0, on_ask, nat);
	settle(&nat->uplink);
}

/* --- frames --- */

/* One end of a TCP segment of IPv4: its destination, or its source. In `nat->rewritten`. */
static void rewrite(struct nat *nat, const struct packet *packet, bool destination, struct in_addr address,
		    uint16_t port)
{
	uint8_t *ip = nat->rewritten + PACKET_ETHERNET, *tcp = nat->rewritten + (packet->payload - packet->frame);
	uint8_t *at = ip + (destination ? 16 : 12), *port_at = tcp + (destination ? 2 : 0);
	const uint8_t port_bytes[2] = {(uint8_t)(port >> 8), (uint8_t)port};

	memcpy(nat->rewritten, packet->frame, packet->size);
	compose_adjust(ip + 10, at, (const uint8_t *)&address, 4);
	compose_adjust(tcp + 16, at, (const uint8_t *)&address, 4);
	compose_adjust(tcp + 16, port_at, port_bytes, 2);
	memcpy(at, &address, 4);
	memcpy(port_at, port_bytes, 2);
}

static bool is_tcp4(const struct packet *packet)
{
	return packet->is_ip && !packet->destination.v6 && !packet->is_fragment && packet->protocol == IPPROTO_TCP;
}

/*
 * libslirp has no limit of connections. Pieces of datagrams it keeps for half a minute, all of them, and putting them
 * together it can be made to write where it should not (4.7.0, with a few pieces that overlap): it gets none. A machine
 * hardly makes any, with its MTU, and passt takes none either.
 */
static bool may_enter(const struct nat *nat, const struct packet *packet)
{
	if (packet->is_fragment)
		return false;
	return packet->protocol != IPPROTO_TCP || nat->count < NAT_SOCKETS_MAX ||
	       (packet->payload[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

static void send_frame(struct uplink *uplink, const struct packet *packet)
{
	struct nat *nat = (struct nat *)uplink;
	const uint8_t *frame = packet->frame;

	if (!may_enter(nat, packet))
		return;
	if (nat->options.resolver && is_tcp4(packet) && packet->destination_port == RESOLVER_PORT &&
	    packet->destination.of.v4.s_addr == place_guest(PLACE_DNS).s_addr) {
		rewrite(nat, packet, true, (struct in_addr){htonl(INADDR_LOOPBACK)}, nat->options.resolver);
		frame = nat->rewritten;
	}
	slirp_input(nat->slirp, frame, (int)packet->size);
}

static ssize_t on_packet(const void *frame, size_t size, void *data)
{
	struct nat *nat = data;
	struct packet packet;

	if (!packet_parse(&packet, frame, size))
		return (ssize_t)size;
	if (is_tcp4(&packet) && packet.source.of.v4.s_addr == htonl(INADDR_LOOPBACK) &&
	    packet.source_port == nat->options.resolver) {
		rewrite(nat, &packet, false, place_guest(PLACE_DNS), RESOLVER_PORT);
		frame = nat->rewritten;
	}
	nat->options.deliver(frame, size, nat->options.data);
	return (ssize_t)size;
}

static void hold(struct uplink *uplink, bool held)
{
	struct nat *nat = (struct nat *)uplink;

	loop_source_watch(nat->source, held ? 0 : EPOLLIN);
}

static const struct uplink_type nat_type = {.send = send_frame, .settle = settle, .hold = hold};

/* --- what libslirp calls --- */

static void on_error(const char *message, void *data)
{
	(void)data;
	log_debug("the machine sends nonsense: %s", message);
}

static int64_t on_clock(void *data)
{
	struct timespec now;

	(void)data;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void *on_timer_new(SlirpTimerId id, void *timer_data, void *data)
{
	(void)id, (void)timer_data;
	return data; /* any that is not NULL */
}

static void on_timer_free(void *timer, void *data)
{
	(void)timer, (void)data;
}

static void on_timer_mod(void *timer, int64_t when_ms, void *data)
{
	(void)timer, (void)when_ms, (void)data;
}

static void on_register(int fd, void *data)
{
	(void)fd, (void)data;
}

/* It is closed next. */
static void on_unregister(int fd, void *data)
{
	const struct nat *nat = data;

	if (fd >= 0 && (size_t)fd < nat->capacity)
		unwatch(nat, fd);
}

static void on_notify(void *data)
{
	(void)data;
}

static const SlirpCb callbacks = {
	.send_packet = on_packet,
	.guest_error = on_error,
	.clock_get_ns = on_clock,
	.timer_new_opaque = on_timer_new,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_register,
	.unregister_poll_fd = on_unregister,
	.notify = on_notify,
};

/* --- its life --- */

/* The answer to an ARP request, and a neighbour's question, as the machine would send them. */
static void introduce(struct nat *nat)
{
	static const uint8_t request[] = {0, 1, 8, 0, 6, 4, 0, 1}, everybody[6] = {255, 255, 255, 255, 255, 255};
	struct in_addr address = place_guest(nat->options.place), router = place_guest(PLACE_GATEWAY);
	uint8_t arp[60] = {0};

	memcpy(arp, everybody, sizeof(everybody));
	place_hardware(arp + 6, nat->options.place);
	arp[12] = ETHERTYPE_ARP >> 8;
	arp[13] = ETHERTYPE_ARP & 0xff;
	memcpy(arp + 14, request, sizeof(request));
	place_hardware(arp + 22, nat->options.place);
	memcpy(arp + 28, &address, sizeof(address));
	memcpy(arp + 38, &router, sizeof(router));
	slirp_input(nat->slirp, arp, sizeof(arp));
}

static void introduce6(struct nat *nat)
{
	uint8_t frame[PACKET_ETHERNET + 128], to[6], from[6], message[32] = {135, 0}; /* neighbour solicitation */
	const struct compose_way way = {
		.to = to,
		.from = from,
		.source = {.v6 = true, .of.v6_ = place_guest6(nat->options.place)},
		.destination = {.v6 = true, .of.v6_ = place_guest6(PLACE_GATEWAY)},
	};

	place_hardware(to, PLACE_GATEWAY);
	place_hardware(from, nat->options.place);
	memcpy(message + 8, &way.destination.of.v6_, 16);
	message[24] = message[25] = 1; /* the asking one's hardware address, 8 bytes */
	memcpy(message + 26, from, sizeof(from));
	slirp_input(nat->slirp, frame, (int)compose_icmp(frame, &way, message, sizeof(message)));
}

static Slirp *start(struct nat *nat)
{
	const SlirpConfig config = {
		.version = 4,
		.in_enabled = true,
		.vnetwork = place_guest(0),
		.vnetmask = {htonl(0xffffffffu << (32 - ADDRESS_PREFIX))},
		.vhost = place_guest(PLACE_GATEWAY),
		.in6_enabled = true,
		.vprefix_addr6 = place_guest6(0),
		.vprefix_len = ADDRESS_PREFIX6,
		.vhost6 = place_guest6(PLACE_GATEWAY),
		.vdhcp_start = place_guest(nat->options.place),
		.vnameserver = place_guest(PLACE_DNS),
		.vnameserver6 = place_guest6(PLACE_DNS),
		.if_mtu = MTU,
		.if_mru = MTU,
		.disable_dns = true,
		.disable_dhcp = true,
	};

	return slirp_new(&config, &callbacks, nat);
}

int nat_new(struct nat **ret, struct loop *loop, const struct nat_options *options, struct annex_error **err)
{
	auto_nat struct nat *nat = calloc(1, sizeof(*nat));
	int result;

	if (!nat)
		return fail_memory(err);
	nat->uplink.type = &nat_type;
	nat->options = *options;
	nat->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (nat->epoll < 0)
		return fail_os(err, errno, "cannot watch sockets");
	result = loop_add_fd(&nat->source, loop, nat->epoll, EPOLLIN, on_ready, nat);
	if (result == 0)
		result = loop_add_timer(&nat->timer, loop, LONGEST_MS, on_time, nat);
	if (result < 0)
		return fail_os(err, result, "cannot watch sockets");
	nat->slirp = start(nat);
	if (!nat->slirp)
		return fail(err, ANNEX_ERROR_SYSTEM, "libslirp does not start");
	introduce(nat);
	introduce6(nat);
	settle(&nat->uplink);
	*ret = TAKE(nat);
	return 0;
}

static void deliver_nowhere(const uint8_t *frame, size_t size, void *data)
{
	(void)frame, (void)size, (void)data;
}

void nat_free(struct nat *nat)
{
	if (!nat)
		return;
	nat->options.deliver = deliver_nowhere;
	if (nat->slirp)
		slirp_cleanup(nat->slirp);
	loop_source_free(nat->source);
	loop_source_free(nat->timer);
	cleanup_close(&nat->epoll);
	free(nat->watched);
	free(nat->list);
	free(nat);
}

struct uplink *nat_uplink(struct nat *nat)
{
	return &nat->uplink;
}

static bool is_at(const struct sockaddr_in *socket, struct in_addr address, uint16_t port)
{
	return socket->sin_family == AF_INET && socket->sin_addr.s_addr == address.s_addr &&
	       ntohs(socket->sin_port) == port;
}

/* The port alone does not tell: somebody else's socket may have the same, connected to somewhere else. */
bool nat_owns(const struct nat *nat, struct in_addr address, uint16_t port)
{
	const struct in_addr loopback = {htonl(INADDR_LOOPBACK)};

	for (size_t i = 0; i < nat->count; i++) {
		struct sockaddr_in own = {0}, peer = {0};
		socklen_t size = sizeof(own), peer_size = sizeof(peer);

		if (getsockname(nat->list[i], (struct sockaddr *)&own, &size) == 0 && is_at(&own, address, port) &&
		    getpeername(nat->list[i], (struct sockaddr *)&peer, &peer_size) == 0 &&
		    is_at(&peer, loopback, nat->options.resolver))
			return true;
	}
	return false;
}
