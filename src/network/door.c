/*
 * A door of TCP is watched by the loop; each connection that it takes is handed over at once. Descriptors are bounded,
 * by the limit of the process: when they are used up nothing is taken for a moment, so that connections wait in the
 * kernel's queue instead of waking us without end. A door of UDP is the datagrams' own (network/ports.h).
 *
 * SO_REUSEADDR lets a door open again while connections of the one before it linger; two that listen stay impossible.
 * UDP does without: there it would let anybody share a port that is somebody's.
 */
#include "network/door.h"

#include "base/log.h"
#include "network/caller.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

struct doors {
	struct loop *loop;
	const struct way *way;
	struct ports *ports;
	struct caller *caller;
	struct loop_source *pause;
	struct door *first;
	bool paused;
};

struct door {
	struct doors *doors;
	struct door *next, *previous;
	struct door_options options;
	struct sockaddr_in local; /* of a private one */
	uint16_t port;
	int fd; /* -1: the datagrams' */
	struct loop_source *source;
	struct datagrams *datagrams;
};

static void on_pause_over(struct loop_source *source, void *data)
{
	struct doors *doors = data;

	(void)source;
	doors->paused = false;
	for (struct door *door = doors->first; door; door = door->next) {
		if (door->source)
			loop_source_watch(door->source, EPOLLIN);
	}
}

static void pause_all(struct doors *doors, int os)
{
	if (doors->paused)
		return;
	log_info("no more connections to ports for a moment: %s", strerror(os));
	doors->paused = true;
	for (struct door *door = doors->first; door; door = door->next) {
		if (door->source)
			loop_source_watch(door->source, 0);
	}
	loop_timer_restart(doors->pause, DOOR_PAUSE_MS);
}

int doors_new(struct doors **ret, struct loop *loop, const struct way *way, struct ports *ports, uid_t uid)
{
	struct doors *doors = calloc(1, sizeof(*doors));
	int result;

	if (!doors)
		return -ENOMEM;
	*doors = (struct doors){.loop = loop, .way = way, .ports = ports};
	result = caller_new(&doors->caller, uid);
	if (result == 0)
		result = loop_add_timer(&doors->pause, loop, DOOR_PAUSE_MS, on_pause_over, doors);
	if (result < 0) {
		doors_free(doors);
		return result;
	}
	*ret = doors;
	return 0;
}

void doors_free(struct doors *doors)
{
	if (!doors)
		return;
	assert(!doors->first);
	loop_source_free(doors->pause);
	caller_free(doors->caller);
	free(doors);
}

static bool may_enter(const struct door *door, int protocol, const struct sockaddr_storage *peer)
{
	struct sockaddr_in from;

	if (!door->options.is_private)
		return true;
	memcpy(&from, peer, sizeof(from));
	return from.sin_family == AF_INET && caller_admits(door->doors->caller, protocol, &from, &door->local);
}

static bool admit_datagrams(const struct sockaddr_storage *client, void *data)
{
	return may_enter(data, IPPROTO_UDP, client);
}

/* False: there is none, or none can be taken now. */
static bool take_one(struct door *door)
{
	struct sockaddr_storage peer = {0};
	socklen_t size = sizeof(peer);
	int fd = accept4(door->fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		if (may_enter(door, IPPROTO_TCP, &peer))
			door->doors->way->connect(door->doors->ports, door->options.guest, fd);
		else
			close(fd);
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		pause_all(door->doors, errno);
		return false;
	default: /* of a connection that has failed meanwhile */
		return true;
	}
}

static void on_ready(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source, (void)fd, (void)events;
	for (unsigned i = 0; i < DOOR_ACCEPT_MAX; i++) {
		if (!take_one(data))
			break;
	}
}

/* One of the two, or both seen as any. */
union place {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t make_place(union place *ret, const struct packet_address *address, uint16_t port)
{
	*ret = (union place){.any.sa_family = AF_UNSPEC};
	if (address->v6) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_addr = address->of.v6_;
		ret->v6.sin6_port = htons(port);
		return sizeof(ret->v6);
	}
	ret->v4.sin_family = AF_INET;
	ret->v4.sin_addr = address->of.v4;
	ret->v4.sin_port = htons(port);
	return sizeof(ret->v4);
}

static int make_socket(const struct door_options *options)
{
	bool is_tcp = options->protocol == IPPROTO_TCP;
	union place place;
	socklen_t size = make_place(&place, &options->address, options->host);
	int on = 1, result = 0;
	int fd = socket(place.any.sa_family, (is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if ((is_tcp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0) ||
	    (options->address.v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, &place.any, size) < 0 || (is_tcp && listen(fd, SOMAXCONN) < 0))
		result = -errno;
	if (result == 0)
		return fd;
	close(fd);
	return result;
}

/* The port that it has, and the address that the kernel is asked by. */
static int find_port(struct door *door)
{
	union place place = {.any.sa_family = AF_UNSPEC};
	socklen_t size = sizeof(place);

	if (getsockname(door->fd, &place.any, &size) < 0)
		return -errno;
	if (place.any.sa_family == AF_INET)
		door->local = place.v4;
	door->port = ntohs(place.any.sa_family == AF_INET ? place.v4.sin_port : place.v6.sin6_port);
	return 0;
}

static int make_ready(struct door *door)
{
	struct doors *doors = door->doors;
	int result = find_port(door);

	if (result < 0)
		return result;
	if (door->options.protocol == IPPROTO_TCP)
		return loop_add_fd(&door->source, doors->loop, door->fd, doors->paused ? 0 : EPOLLIN, on_ready, door);
	result = doors->way->datagrams_new(&door->datagrams, doors->ports, door->options.guest, door->fd,
					   admit_datagrams, door);
	if (result == 0)
		door->fd = -1;
	return result;
}

int door_open(struct door **ret, struct doors *doors, const struct door_options *options)
{
	struct door *door = calloc(1, sizeof(*door));
	int result;

	assert(!options->is_private || !options->address.v6);
	if (!door)
		return -ENOMEM;
	*door = (struct door){.doors = doors, .options = *options, .fd = make_socket(options)};
	door->next = doors->first;
	if (door->next)
		door->next->previous = door;
	doors->first = door;
	result = door->fd < 0 ? door->fd : make_ready(door);
	if (result < 0) {
		door_close(door);
		return result;
	}
	*ret = door;
	return 0;
}

uint16_t door_port(const struct door *door)
{
	return door->port;
}

void door_close(struct door *door)
{
	if (!door)
		return;
	if (door->previous)
		door->previous->next = door->next;
	else
		door->doors->first = door->next;
	if (door->next)
		door->next->previous = door->previous;
	loop_source_free(door->source);
	if (door->datagrams)
		door->doors->way->datagrams_free(door->datagrams);
	if (door->fd >= 0)
		close(door->fd);
	free(door);
}
