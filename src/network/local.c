/*
 * One netlink socket hears of changes, another is asked for all there is, anew after each of them: a dump is complete
 * or it is none, and nothing has to be kept in step. The kernel makes a dump while it is read, so that reading never
 * waits. What is known stays in force until the next dump is whole.
 *
 * The routing tables say more than the list of addresses: whole networks that a host has declared local, and the
 * addresses of a link's broadcasts. The list is read too, since a new address is announced before its route is there.
 */
#include "network/local.h"

#include "base/log.h"
#include "base/time.h"
#include "network/reserved.h"

#include <assert.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

/* Changes that come in a row are read together. */
#define PAUSE_MS    100u
#define READ_SIZE   65536u
#define DUMP_TRIES  5u
#define ROUNDS_MOST 100000u /* of reading one dump */

struct network {
	struct packet_address address;
	unsigned prefix;
	enum local_kind kind;
};

struct networks {
	struct network *items;
	size_t count, capacity;
	bool overflow;
};

struct local {
	int events, dumps;
	bool strict; /* the kernel leaves out of a dump what was not asked for */
	uint32_t sequence;
	struct loop_source *source, *timer;
	uint64_t read_ms; /* when last */
	bool stale;       /* the timer runs */
	struct networks known, next;
	uint8_t *buffer;
};

static void add(struct networks *networks, enum local_kind kind, int family, const void *bytes, unsigned prefix)
{
	struct network *made;

	if (networks->count == networks->capacity) {
		size_t capacity = networks->capacity ? networks->capacity * 2 : 32;
		struct network *grown = capacity > LOCAL_LIMIT
						? NULL
						: reallocarray(networks->items, capacity, sizeof(*networks->items));

		if (!grown) {
			networks->overflow = true;
			return;
		}
		networks->items = grown;
		networks->capacity = capacity;
	}
	made = &networks->items[networks->count++];
	*made = (struct network){.prefix = prefix, .kind = kind};
	made->address.v6 = family == AF_INET6;
	memcpy(&made->address.of, bytes, made->address.v6 ? 16 : 4);
}

/* By family, then by prefix, then by address: a group for each prefix. */
static int compare_networks(const void *a_, const void *b_)
{
	const struct network *a = a_, *b = b_;

	if (a->address.v6 != b->address.v6)
		return a->address.v6 ? 1 : -1;
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	return memcmp(&a->address.of, &b->address.of, a->address.v6 ? 16 : 4);
}

static void take_address(struct local *local, const struct nlmsghdr *header)
{
	const struct ifaddrmsg *message = NLMSG_DATA(header);
	const struct rtattr *attribute = IFA_RTA(message);
	unsigned size = (unsigned)IFA_PAYLOAD(header), bytes = message->ifa_family == AF_INET6 ? 16 : 4;

	if (message->ifa_family != AF_INET && message->ifa_family != AF_INET6)
		return;
	for (; RTA_OK(attribute, size); attribute = RTA_NEXT(attribute, size)) {
		/* IFA_ADDRESS of a point-to-point link is the other end's. */
		bool own = attribute->rta_type == IFA_LOCAL || attribute->rta_type == IFA_BROADCAST ||
			   (attribute->rta_type == IFA_ADDRESS && bytes == 16);

		if (own && RTA_PAYLOAD(attribute) == bytes)
			add(&local->next, attribute->rta_type == IFA_BROADCAST ? LOCAL_BROADCAST : LOCAL_OWN,
			    message->ifa_family, RTA_DATA(attribute), bytes * 8);
	}
}

static bool is_own_route(const struct rtmsg *message)
{
	return (message->rtm_family == AF_INET || message->rtm_family == AF_INET6) &&
	       (message->rtm_type == RTN_LOCAL || message->rtm_type == RTN_BROADCAST ||
		message->rtm_type == RTN_ANYCAST);
}

static void take_route(struct local *local, const struct nlmsghdr *header)
{
	const struct rtmsg *message = NLMSG_DATA(header);
	const struct rtattr *attribute = RTM_RTA(message);
	unsigned size = (unsigned)RTM_PAYLOAD(header), bytes = message->rtm_family == AF_INET6 ? 16 : 4;

	if (!is_own_route(message) || message->rtm_dst_len > bytes * 8)
		return;
	for (; RTA_OK(attribute, size); attribute = RTA_NEXT(attribute, size)) {
		if (attribute->rta_type == RTA_DST && RTA_PAYLOAD(attribute) == bytes)
			add(&local->next, message->rtm_type == RTN_BROADCAST ? LOCAL_BROADCAST : LOCAL_OWN,
			    message->rtm_family, RTA_DATA(attribute), message->rtm_dst_len);
	}
}

/* 1: there is more to read; 0: that was all; -EINTR: it changed meanwhile; -errno. */
static int take_messages(struct local *local, size_t size)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)local->buffer;
	unsigned left = (unsigned)size;

	for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
		if (header->nlmsg_seq != local->sequence)
			continue;
		if (header->nlmsg_flags & NLM_F_DUMP_INTR)
			return -EINTR;
		if (header->nlmsg_type == NLMSG_DONE)
			return 0;
		if (header->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
		if (header->nlmsg_type == RTM_NEWADDR)
			take_address(local, header);
		else if (header->nlmsg_type == RTM_NEWROUTE)
			take_route(local, header);
	}
	return 1;
}

static ssize_t receive(int fd, uint8_t *buffer)
{
	ssize_t size;

	do {
		size = recv(fd, buffer, READ_SIZE, MSG_DONTWAIT | MSG_TRUNC);
	} while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	return size > (ssize_t)READ_SIZE ? -EMSGSIZE : size;
}

static int dump(struct local *local, uint16_t type, uint8_t family, uint8_t route_type)
{
	struct {
		struct nlmsghdr header;
		union {
			struct rtmsg route;
			struct ifaddrmsg address;
		} of;
	} request = {.header = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
	int result = 1;

	request.header.nlmsg_seq = ++local->sequence;
	if (type == RTM_GETROUTE) {
		request.header.nlmsg_len = NLMSG_LENGTH(sizeof(request.of.route));
		request.of.route.rtm_family = family;
		request.of.route.rtm_type = route_type;
	} else {
		request.header.nlmsg_len = NLMSG_LENGTH(sizeof(request.of.address));
		request.of.address.ifa_family = family;
	}
	if (send(local->dumps, &request, request.header.nlmsg_len, 0) < 0)
		return -errno;
	for (unsigned i = 0; result > 0 && i < ROUNDS_MOST; i++) {
		ssize_t size = receive(local->dumps, local->buffer);

		result = size < 0 ? (int)size : take_messages(local, (size_t)size);
	}
	return result > 0 ? -EMSGSIZE : result;
}

static int dump_family(struct local *local, uint8_t family)
{
	static const uint8_t types[] = {RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST};
	int result = dump(local, RTM_GETADDR, family, 0);

	for (size_t i = 0; result == 0 && i < COUNT_OF(types); i++) {
		result = dump(local, RTM_GETROUTE, family, local->strict ? types[i] : 0);
		if (!local->strict)
			break;
	}
	/* A kernel without IPv6 knows no such family, or has nothing of it. */
	return family == AF_INET6 && (result == -EAFNOSUPPORT || result == -EOPNOTSUPP) ? 0 : result;
}

/* What an interrupted dump leaves unread must not be taken for the next one's: its number tells. */
static int read_all(struct local *local)
{
	int result = -EINTR;

	for (unsigned i = 0; result == -EINTR && i < DUMP_TRIES; i++) {
		while (receive(local->dumps, local->buffer) >= 0)
			continue;
		local->next.count = 0;
		local->next.overflow = false;
		result = dump_family(local, AF_INET);
		if (result == 0)
			result = dump_family(local, AF_INET6);
	}
	if (result < 0)
		return result;
	if (local->next.count > 1)
		qsort(local->next.items, local->next.count, sizeof(*local->next.items), compare_networks);
	{
		struct networks old = local->known;

		local->known = local->next;
		local->next = old;
	}
	return 0;
}

static void refresh(struct local *local)
{
	int result = read_all(local);

	local->read_ms = time_monotonic_ms();
	local->stale = false;
	if (result < 0) {
		log_debug("reading the host's addresses failed: %s", strerror(-result));
		local->stale = true;
		loop_timer_restart(local->timer, PAUSE_MS);
	}
}

static void on_timer(struct loop_source *source, void *data)
{
	(void)source;
	refresh(data);
}

/* Whether something of interest is in what was heard. */
static bool concerns_us(const uint8_t *buffer, size_t size)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)buffer;
	unsigned left = (unsigned)size;

	for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
		bool route = header->nlmsg_type == RTM_NEWROUTE || header->nlmsg_type == RTM_DELROUTE;

		if (!route || is_own_route(NLMSG_DATA(header)))
			return true;
	}
	return false;
}

static void on_event(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct local *local = data;
	uint64_t now = time_monotonic_ms();
	bool changed = false;
	ssize_t size;

	(void)source;
	(void)events;
	while ((size = receive(fd, local->buffer)) != -EAGAIN)
		/* What failed is lost, most likely for want of room. */
		changed = size < 0 || concerns_us(local->buffer, (size_t)size) || changed;
	if (!changed || local->stale)
		return;
	if (now - local->read_ms >= PAUSE_MS) {
		refresh(local);
		return;
	}
	local->stale = true;
	loop_timer_restart(local->timer, PAUSE_MS);
}

static int open_sockets(struct local *local)
{
	struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
	};
	int one = 1;

	local->events = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	local->dumps = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (local->events < 0 || local->dumps < 0 ||
	    bind(local->events, (const struct sockaddr *)(const void *)&groups, sizeof(groups)) < 0)
		return -errno;
	local->strict = setsockopt(local->dumps, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one)) == 0;
	return 0;
}

static int open_local(struct local *local, struct loop *loop)
{
	int result;

	local->buffer = malloc(READ_SIZE);
	if (!local->buffer)
		return -ENOMEM;
	result = open_sockets(local);
	if (result == 0)
		result = loop_add_fd(&local->source, loop, local->events, EPOLLIN, on_event, local);
	if (result == 0)
		result = loop_add_timer(&local->timer, loop, PAUSE_MS, on_timer, local);
	return result < 0 ? result : read_all(local);
}

int local_new(struct local **ret, struct loop *loop, struct annex_error **err)
{
	auto_local struct local *local = calloc(1, sizeof(*local));
	int result;

	if (!local)
		return fail_memory(err);
	local->events = local->dumps = -EBADF;
	result = open_local(local, loop);
	if (result < 0)
		return fail_os(err, result, "reading the host's own addresses failed");
	*ret = TAKE(local);
	return 0;
}

void local_free(struct local *local)
{
	if (!local)
		return;
	loop_source_free(local->source);
	loop_source_free(local->timer);
	cleanup_close(&local->events);
	cleanup_close(&local->dumps);
	free(local->known.items);
	free(local->next.items);
	free(local->buffer);
	free(local);
}

/* Where the group of item `at` ends. */
static size_t group_end(const struct networks *known, size_t at)
{
	const struct network *first = &known->items[at];
	size_t low = at + 1, high = known->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct network *item = &known->items[middle];

		if (item->address.v6 == first->address.v6 && item->prefix == first->prefix)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void mask(struct packet_address *address, unsigned prefix)
{
	uint8_t *bytes = address->v6 ? address->of.v6_.s6_addr : (uint8_t *)&address->of.v4;
	unsigned size = address->v6 ? 16 : 4;

	for (unsigned i = 0; i < size; i++) {
		unsigned bits = prefix > i * 8 ? prefix - i * 8 : 0;

		if (bits < 8)
			bytes[i] &= (uint8_t) ~(0xffu >> bits);
	}
}

/* Of several networks the smallest counts, as with routes: it is found last. */
enum local_kind local_find(const struct local *local, const struct packet_address *address)
{
	const struct networks *known = &local->known;
	enum local_kind kind = LOCAL_NOT;

	if (known->overflow)
		return LOCAL_OWN;
	for (size_t at = 0, end; at < known->count; at = end) {
		struct network wanted = {*address, known->items[at].prefix, LOCAL_NOT}, *found;

		end = group_end(known, at);
		if (known->items[at].address.v6 != address->v6)
			continue;
		mask(&wanted.address, wanted.prefix);
		found = bsearch(&wanted, known->items + at, end - at, sizeof(wanted), compare_networks);
		if (found)
			kind = found->kind;
	}
	return kind;
}
