#include "network/own.h"

#include "network/address.h"
#include "network/listener.h"

#include <string.h>

/* A copy of what ports.h tells. */
struct known {
	uint8_t protocol;
	uint16_t port;
	uint32_t pid;
	char address[INET6_ADDRSTRLEN];
	char process[64];
};

struct own {
	struct doors *doors;
	uint32_t place;
	struct known *known; /* sorted by protocol and port, as `ports` are */
	size_t known_count;
	struct own_port *ports;
	size_t count;
};

int own_new(struct own **ret, struct doors *doors, uint32_t place)
{
	struct own *own = calloc(1, sizeof(*own));

	if (!own)
		return -ENOMEM;
	*own = (struct own){.doors = doors, .place = place};
	*ret = own;
	return 0;
}

void own_free(struct own *own)
{
	if (!own)
		return;
	for (size_t i = 0; i < own->count; i++)
		door_close(own->ports[i].door);
	free(own->ports);
	free(own->known);
	free(own);
}

uint32_t own_place(const struct own *own)
{
	return own->place;
}

const struct own_port *own_at(const struct own *own, size_t index)
{
	return index < own->count ? &own->ports[index] : NULL;
}

static int compare(const struct own_port *a, const struct own_port *b)
{
	return a->protocol != b->protocol ? (a->protocol > b->protocol) - (a->protocol < b->protocol)
					  : (a->port > b->port) - (a->port < b->port);
}

static struct own_port *find(const struct own *own, int protocol, uint16_t port)
{
	const struct own_port wanted = {.protocol = (uint8_t)protocol, .port = port};
	size_t low = 0, high = own->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(&own->ports[middle], &wanted);

		if (order == 0)
			return &own->ports[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int open_at(struct own_port *port, const struct own *own, uint16_t host)
{
	const struct door_options options = {
		.address.of.v4 = place_host(own->place),
		.protocol = port->protocol,
		.host = host,
		.guest = port->port,
		.is_private = true,
	};

	return door_open(&port->door, own->doors, &options);
}

/* Not at its own number: that is root's. A number that belongs to another port of the machine is left to that. */
static int open_moved(struct own_port *port, const struct own *own)
{
	unsigned higher = port->port + LISTENER_MOVED_BY;
	int result = -EADDRINUSE;

	if (higher <= UINT16_MAX && !find(own, port->protocol, (uint16_t)higher))
		result = open_at(port, own, (uint16_t)higher);
	if (result < 0)
		result = open_at(port, own, 0);
	port->moved = result == 0;
	return result;
}

/* One that was moved here must go: the machine itself has this port now. */
static struct own_port *find_moved(const struct own *own, const struct own_port *port)
{
	for (size_t i = 0; i < own->count; i++) {
		struct own_port *other = &own->ports[i];

		if (other->moved && other->door && other->protocol == port->protocol &&
		    door_port(other->door) == port->port)
			return other;
	}
	return NULL;
}

static void close_port(struct own_port *port)
{
	door_close(TAKE(port->door));
	port->moved = false;
	port->os = EADDRINUSE;
}

static void open_port(struct own_port *port, struct own *own)
{
	struct own_port *moved;
	int result = open_at(port, own, port->port);

	moved = result == -EADDRINUSE ? find_moved(own, port) : NULL;
	if (moved) {
		close_port(moved);
		result = open_at(port, own, port->port);
		moved->os = -open_moved(moved, own);
	}
	if (result == -EACCES || result == -EPERM)
		result = open_moved(port, own);
	port->os = -result;
}

/* One that was moved, and may have its own number by now. */
static void move_back(struct own_port *port, struct own *own)
{
	struct door *moved = TAKE(port->door);

	if (open_at(port, own, port->port) < 0) {
		port->door = moved;
		return;
	}
	door_close(moved);
	port->moved = false;
}

bool own_retry(struct own *own)
{
	bool is_refused = false;

	for (size_t i = 0; i < own->count; i++) {
		struct own_port *port = &own->ports[i];

		if (!port->door)
			open_port(port, own);
		else if (port->moved)
			move_back(port, own);
		is_refused = is_refused || !port->door;
	}
	return is_refused;
}

void own_give_way(struct own *own, const struct publish *publish)
{
	for (size_t i = 0; i < own->count; i++) {
		struct own_port *port = &own->ports[i];
		const struct publish ours = {
			.address.of.v4 = place_host(own->place),
			.protocol = port->protocol,
			.host = port->door ? door_port(port->door) : port->port,
			.guest = port->port,
			.count = 1,
		};

		if (port->door && publish_collides(publish, &ours))
			close_port(port);
	}
}

static int copy_known(struct known **ret, const struct port_socket *sockets, size_t count)
{
	struct known *known = calloc(count + 1, sizeof(*known));

	if (!known)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		known[i] =
			(struct known){.protocol = sockets[i].protocol, .port = sockets[i].port, .pid = sockets[i].pid};
		strncat(known[i].address, sockets[i].address, sizeof(known[i].address) - 1);
		if (strlen(sockets[i].process) < sizeof(known[i].process))
			strncat(known[i].process, sockets[i].process, sizeof(known[i].process) - 1);
	}
	*ret = known;
	return 0;
}

/* One for each protocol and port; those of before keep their doors. */
static size_t merge(struct own_port *made, struct own *own, const struct port_socket *sockets, size_t count)
{
	size_t made_count = 0;

	for (size_t i = 0; i < count && made_count < LISTENER_OWN_MAX; i++) {
		struct own_port port = {.protocol = sockets[i].protocol, .port = sockets[i].port};
		struct own_port *before;

		if (made_count > 0 && compare(&made[made_count - 1], &port) == 0)
			continue;
		before = find(own, port.protocol, port.port);
		if (before) {
			port = *before;
			before->door = NULL;
		}
		made[made_count++] = port;
	}
	return made_count;
}

bool own_set(struct own *own, const struct port_socket *sockets, size_t count)
{
	struct own_port *made = calloc(count + 1, sizeof(*made));
	struct known *known = NULL;
	bool is_refused = false;
	size_t made_count;

	if (!made || copy_known(&known, sockets, count) < 0) { /* as before, until there is news again */
		free(made);
		return false;
	}
	free(own->known);
	own->known = known;
	own->known_count = count;
	made_count = merge(made, own, sockets, count);
	for (size_t i = 0; i < own->count; i++)
		door_close(own->ports[i].door);
	free(own->ports);
	own->ports = made;
	own->count = made_count;
	for (size_t i = 0; i < own->count; i++) {
		if (!own->ports[i].door && own->ports[i].os == 0)
			open_port(&own->ports[i], own);
		is_refused = is_refused || !own->ports[i].door;
	}
	return is_refused;
}

/* The first of those that are sorted at or behind this port. */
static size_t find_known(const struct own *own, int protocol, uint16_t port)
{
	size_t low = 0, high = own->known_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct known *known = &own->known[middle];

		if (known->protocol < protocol || (known->protocol == protocol && known->port < port))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int own_describe(struct port *ret, const struct own *own, int protocol, uint16_t port)
{
	const struct known *first = NULL;

	for (size_t i = find_known(own, protocol, port); i < own->known_count; i++) {
		const struct known *known = &own->known[i];

		if (known->protocol != protocol || known->port != port)
			break;
		if (ret->listens.count < OWN_LISTENS_MAX && text_list_add(&ret->listens, known->address) < 0)
			return -ENOMEM;
		if (!first) {
			first = known;
			ret->pid = known->pid;
			ret->process = *known->process ? (char *)known->process : NULL;
			continue;
		}
		/* Of several programs none. */
		if (known->pid != first->pid)
			ret->pid = 0;
		if (strcmp(known->process, first->process) != 0)
			ret->process = NULL;
	}
	return 0;
}
