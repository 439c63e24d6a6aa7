/*
 * Two kinds of doors. The machine's own are what listens in the machine, merged by protocol and port, and follow it;
 * one that can't be had is kept without a door, and tried again when somebody asks, and every few seconds: not as often
 * as the machine likes. The published ones are there from being asked for until they are no longer.
 *
 * A published port comes before one of the machine's own that needs the same socket (0.0.0.0 takes all addresses): the
 * latter is closed, and refused from then on.
 */
#include "network/listener.h"

#include "network/address.h"
#include "network/own.h"
#include "network/port.h"
#include "network/publish.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

struct publication {
	struct publication *next;
	struct publish publish;
	char *text;
	struct door **doors; /* publish.count of them */
};

struct waiter {
	listener_list_fn *fn;
	void *data;
};

struct listener {
	char *name;
	struct ports *ports;
	const struct way *way;
	struct doors *doors;
	struct own *own;
	struct publication *publications;
	struct loop_source *scan_timer, *retry_timer;
	bool retries; /* the timer runs for it */
	struct waiter waiters[LISTENER_LISTS_MAX];
	size_t waiting;
};

static void publication_free(struct publication *publication)
{
	for (unsigned i = 0; publication->doors && i < publication->publish.count; i++)
		door_close(publication->doors[i]);
	free(publication->doors);
	free(publication->text);
	free(publication);
}

static void retry_later(struct listener *listener)
{
	if (listener->retries)
		return;
	listener->retries = true;
	loop_timer_restart(listener->retry_timer, LISTENER_RETRY_MS);
}

static void retry(struct listener *listener)
{
	if (own_retry(listener->own))
		retry_later(listener);
}

static void on_retry(struct loop_source *source, void *data)
{
	struct listener *listener = data;

	(void)source;
	listener->retries = false;
	retry(listener);
}

static const struct publication *find_collision(const struct listener *listener, const struct publish *publish)
{
	for (const struct publication *at = listener->publications; at; at = at->next) {
		if (publish_collides(&at->publish, publish))
			return at;
	}
	return NULL;
}

static int add_json(struct text_list *list, const struct port *port)
{
	auto_json json_t *object = port_encode(port);

	return text_list_add_owned(list, object ? json_text(object, false) : NULL);
}

static char *constant(const char *text)
{
	return (char *)text; /* struct port owns its texts; these are only read */
}

static const char *protocol_name(int protocol)
{
	return protocol == IPPROTO_UDP ? "udp" : "tcp";
}

static int list_published(struct text_list *list, const struct listener *listener, const struct publication *of)
{
	char address[INET6_ADDRSTRLEN] = "";
	int result = 0;

	if (!inet_ntop(of->publish.address.v6 ? AF_INET6 : AF_INET, &of->publish.address.of, address, sizeof(address)))
		return -errno;
	for (unsigned i = 0; i < of->publish.count && result == 0; i++) {
		struct port port = {.protocol = constant(protocol_name(of->publish.protocol)),
				    .port = of->publish.guest + i,
				    .host = address,
				    .host_port = door_port(of->doors[i]),
				    .published = true,
				    .publish = of->text};

		result = own_describe(&port, listener->own, of->publish.protocol, (uint16_t)port.port);
		port.state = constant(port.listens.count > 0 ? "open" : "waiting");
		if (result == 0)
			result = add_json(list, &port);
		text_list_clear(&port.listens);
	}
	return result;
}

static int list_own(struct text_list *list, const struct listener *listener, const struct own_port *own)
{
	char address[ADDRESS_TEXT], reason[PUBLISH_TEXT_LIMIT + 32];
	const struct publish wanted = {.address.of.v4 = place_host(own_place(listener->own)),
				       .protocol = own->protocol,
				       .host = own->port,
				       .guest = own->port,
				       .count = 1};
	const struct publication *publication = own->door ? NULL : find_collision(listener, &wanted);
	struct port port = {.protocol = constant(protocol_name(own->protocol)),
			    .port = own->port,
			    .host = constant(place_host_text(address, own_place(listener->own))),
			    .host_port = own->door ? door_port(own->door) : 0,
			    .moved = own->moved,
			    .state = constant(own->door ? "open" : "refused")};
	int result = own_describe(&port, listener->own, own->protocol, own->port);

	if (publication) {
		snprintf(reason, sizeof(reason), "published as %s", publication->text);
		port.reason = reason;
	} else if (!own->door) {
		port.reason = constant(own->os == EADDRINUSE ? LISTENER_TAKEN : strerror(own->os));
	}
	if (result == 0)
		result = add_json(list, &port);
	text_list_clear(&port.listens);
	return result;
}

static int make_list(struct text_list *list, const struct listener *listener)
{
	const struct own_port *own;
	int result = 0;

	for (const struct publication *at = listener->publications; at && result == 0; at = at->next)
		result = list_published(list, listener, at);
	for (size_t i = 0; result == 0 && (own = own_at(listener->own, i)); i++)
		result = list_own(list, listener, own);
	return result;
}

/* To all who wait. They may ask for another one. */
static void tell_waiters(struct listener *listener)
{
	static const char *const none[] = {NULL};
	auto_text_list struct text_list list = {0};
	struct waiter waiters[LISTENER_LISTS_MAX];
	size_t count = listener->waiting;
	const char *const *told = none;

	if (count == 0)
		return;
	memcpy(waiters, listener->waiters, sizeof(waiters));
	listener->waiting = 0;
	if (make_list(&list, listener) < 0)
		told = NULL;
	else if (list.count > 0)
		told = (const char *const *)list.items;
	for (size_t i = 0; i < count; i++)
		waiters[i].fn(told, waiters[i].data);
}

static void on_scan_late(struct loop_source *source, void *data)
{
	(void)source;
	tell_waiters(data);
}

int listener_new(struct listener **ret, struct loop *loop, const struct listener_options *options,
		 struct annex_error **err)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int result;

	if (!listener)
		return fail_memory(err);
	listener->name = strdup(options->name);
	if (!listener->name) {
		listener_free(listener);
		return fail_memory(err);
	}
	listener->ports = options->ports;
	listener->way = options->way;
	result = doors_new(&listener->doors, loop, options->way, options->ports, options->uid);
	if (result == 0)
		result = own_new(&listener->own, listener->doors, options->place);
	if (result == 0)
		result = loop_add_timer(&listener->scan_timer, loop, LISTENER_SCAN_MS, on_scan_late, listener);
	if (result == 0)
		result = loop_add_timer(&listener->retry_timer, loop, LISTENER_RETRY_MS, on_retry, listener);
	if (result < 0) {
		listener_free(listener);
		return fail_os(err, result, "cannot listen for a machine");
	}
	*ret = listener;
	return 0;
}

void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	for (struct publication *at = listener->publications, *next; at; at = next) {
		next = at->next;
		publication_free(at);
	}
	own_free(listener->own);
	loop_source_free(listener->scan_timer);
	loop_source_free(listener->retry_timer);
	doors_free(listener->doors);
	free(listener->name);
	free(listener);
}

void listener_set_listening(struct listener *listener, const struct port_socket *sockets, size_t count)
{
	if (own_set(listener->own, sockets, count))
		retry_later(listener);
	if (listener->waiting > 0)
		retry(listener);
	tell_waiters(listener);
}

int listener_list(struct listener *listener, listener_list_fn *fn, void *data, struct annex_error **err)
{
	if (listener->waiting >= LISTENER_LISTS_MAX)
		return fail(err, ANNEX_ERROR_BUSY, "too many ask for the machine's ports");
	listener->waiters[listener->waiting++] = (struct waiter){fn, data};
	loop_timer_restart(listener->scan_timer, LISTENER_SCAN_MS);
	if (listener->way->scan(listener->ports))
		return 0;
	retry(listener);
	tell_waiters(listener);
	return 0;
}

static int refuse(const struct publish *publish, unsigned index, int os, struct annex_error **err)
{
	char place[PUBLISH_PLACE_TEXT], address[INET6_ADDRSTRLEN] = "";
	uint16_t port = (uint16_t)(publish->host + index);

	publish_place(place, &publish->address, port, publish->protocol);
	switch (-os) {
	case EADDRINUSE:
		return fail(err, ANNEX_ERROR_EXISTS, "port %s is taken", place);
	case EACCES:
	case EPERM:
		fail(err, ANNEX_ERROR_UNSUPPORTED, "port %s is for root only on this host", place);
		return fail_hint(err, "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=%u", port);
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
		inet_ntop(publish->address.v6 ? AF_INET6 : AF_INET, &publish->address.of, address, sizeof(address));
		fail(err, ANNEX_ERROR_NOT_FOUND, "%s is no address of this host", address);
		return fail_hint(err, "its addresses: ip address show");
	default:
		return fail_os(err, os, "cannot listen at port %s", place);
	}
}

static int open_all(struct publication *made, struct doors *doors, struct annex_error **err)
{
	const struct publish *publish = &made->publish;

	for (unsigned i = 0; i < publish->count; i++) {
		const struct door_options options = {.address = publish->address,
						     .protocol = publish->protocol,
						     .host = (uint16_t)(publish->host ? publish->host + i : 0),
						     .guest = (uint16_t)(publish->guest + i)};
		int result = door_open(&made->doors[i], doors, &options);

		if (result < 0)
			return refuse(publish, i, result, err);
	}
	return 0;
}

/* Published already? 1: exactly so. */
static int check(const struct listener *listener, const struct publish *publish, struct annex_error **err)
{
	const struct publication *other = find_collision(listener, publish);
	unsigned ports = publish->count;

	if (other && publish_compare(&other->publish, publish) == 0)
		return 1;
	if (other)
		return fail(err, ANNEX_ERROR_EXISTS, "it needs the same port of this host as '%s', which is published",
			    other->text);
	for (const struct publication *at = listener->publications; at; at = at->next)
		ports += at->publish.count;
	if (ports > PUBLISH_PORTS_MAX)
		return fail(err, ANNEX_ERROR_BUSY, "a machine publishes %u ports at most", PUBLISH_PORTS_MAX);
	return 0;
}

/* In the order of publish_compare(). */
static void insert(struct listener *listener, struct publication *made)
{
	struct publication **at = &listener->publications;

	while (*at && publish_compare(&(*at)->publish, &made->publish) < 0)
		at = &(*at)->next;
	made->next = *at;
	*at = made;
}

int listener_publish(struct listener *listener, const char *text, struct annex_error **err)
{
	struct publication *made;
	struct publish publish;
	int result;

	if (publish_parse(&publish, text, err) < 0)
		return -1;
	result = check(listener, &publish, err);
	if (result != 0)
		return result < 0 ? -1 : 0;
	made = calloc(1, sizeof(*made));
	if (!made)
		return fail_memory(err);
	made->publish = publish;
	made->text = publish_text(&publish);
	made->doors = calloc(publish.count, sizeof(struct door *));
	if (!made->text || !made->doors) {
		publication_free(made);
		return fail_memory(err);
	}
	own_give_way(listener->own, &publish);
	if (open_all(made, listener->doors, err) < 0) {
		publication_free(made);
		result = -1;
	} else {
		insert(listener, made);
	}
	retry(listener);
	return result;
}

int listener_unpublish(struct listener *listener, const char *text, struct annex_error **err)
{
	struct publication **at = &listener->publications, *gone;
	struct publish_pattern pattern;
	bool found = false;

	if (publish_pattern_parse(&pattern, text, err) < 0)
		return -1;
	while (*at) {
		if (!publish_matches(&pattern, &(*at)->publish)) {
			at = &(*at)->next;
			continue;
		}
		gone = *at;
		*at = gone->next;
		publication_free(gone);
		found = true;
	}
	if (found) {
		retry(listener);
		return 0;
	}
	fail(err, ANNEX_ERROR_NOT_FOUND, "no port is published as '%s'", text);
	for (const struct publication *other = listener->publications; other; other = other->next) {
		if (publish_collides(&other->publish, &pattern.publish))
			return fail_hint(err, "annex port remove -n %s %s", listener->name, other->text);
	}
	return -1;
}
