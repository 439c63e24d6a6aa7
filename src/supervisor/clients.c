/*
 * A client is known by its address, to the relay too. It is freed where it is found to be gone or to have broken the
 * protocol; its sessions are hung up first. A client that must still be told something is `closing`: it is read from no
 * more, and freed when it has taken what waits.
 *
 * The socket is made under another name and renamed when it listens, so that whoever sees it can connect.
 */
#include "supervisor/clients.h"

#include "base/log.h"
#include "base/text.h"
#include "machine/channel.h"
#include "machine/name.h"
#include "supervisor/guest.h"
#include "supervisor/network.h"
#include "supervisor/relay.h"
#include "supervisor/resources.h"
#include "supervisor/sessions.h"
#include "supervisor/shares.h"
#include "supervisor/usage.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { CLIENTS_REFUSED = 16 }; /* that are still told so; then new ones wait in the listener's queue */

struct client {
	struct clients *clients;
	struct client *next;
	struct channel *channel;
	bool greeted, watching, stale, waiting, closing, asked_usage;
};

struct clients {
	struct supervisor *supervisor;
	int listener;
	struct loop_source *source;
	struct client *first;
	unsigned count;
	bool closing;
};

static void hang_up(struct client *client)
{
	struct supervisor *supervisor = client->clients->supervisor;
	struct relay_hangup hangup;

	while (relay_abandon(supervisor->relay, client, &hangup)) {
		guest_hang_up(supervisor->guest, hangup.guest);
		if (hangup.output > 0)
			guest_credit(supervisor->guest, hangup.guest, MESSAGE_OUTPUT, hangup.output);
		if (hangup.errors > 0)
			guest_credit(supervisor->guest, hangup.guest, MESSAGE_ERRORS, hangup.errors);
	}
}

static void free_client(struct client *client)
{
	struct clients *clients = client->clients;

	for (struct client **at = &clients->first; *at; at = &(*at)->next) {
		if (*at == client) {
			*at = client->next;
			break;
		}
	}
	clients->count--;
	if (clients->source && clients->count < CLIENTS_MAX)
		loop_source_watch(clients->source, EPOLLIN);
	hang_up(client);
	shares_forget(clients->supervisor->shares, client);
	resources_forget(clients->supervisor->resources, client);
	network_forget(clients->supervisor->network, client);
	channel_free(client->channel);
	free(client);
}

static size_t queue_limit(const struct client *client)
{
	const struct relay *relay = client->clients->supervisor->relay;

	return CLIENT_QUEUE_CONTROL + relay_owner_count(relay, client) * CLIENT_QUEUE_SESSION +
	       relay_owner_connections(relay, client) * CLIENT_QUEUE_CONNECTION;
}

/* False: the client had to be dropped. */
static bool check_queue(struct client *client, int result)
{
	if (result == 0 && channel_queued(client->channel) <= queue_limit(client))
		return true;
	if (result != -EPIPE)
		log_info("a client that does not read was dropped");
	free_client(client);
	return false;
}

static void tell_failure(struct client *client, uint16_t stream, enum annex_error_kind kind, const char *message,
			 const char *hint)
{
	channel_put(client->channel, MESSAGE_FAILURE, stream,
		    &(struct message_failure){.kind = kind, .message = message, .hint = hint});
}

/* Say why and close. */
static void refuse(struct client *client, enum annex_error_kind kind, const char *message, const char *hint)
{
	tell_failure(client, 0, kind, message, hint);
	client->closing = true;
	client->watching = false;
	hang_up(client);
	channel_close_when_drained(client->channel);
}

static bool tell_state(struct client *client)
{
	struct message_state state;

	if (channel_queued(client->channel) > CLIENT_QUEUE_STATES) {
		client->stale = true;
		return true;
	}
	client->stale = false;
	supervisor_describe(client->clients->supervisor, &state);
	return check_queue(client, channel_put(client->channel, MESSAGE_STATE, 0, &state));
}

static void on_hello(struct client *client, const struct message *message)
{
	char hint[MACHINE_NAME_MAX + 32];
	struct message_hello hello;

	if (client->greeted || message_get(&hello, message->kind, message->payload, message->size) < 0) {
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: HELLO that is malformed or comes twice", NULL);
		return;
	}
	client->greeted = true;
	if (hello.version == WIRE_VERSION)
		return;
	snprintf(hint, sizeof(hint), "annex restart %s", client->clients->supervisor->record->name);
	refuse(client, ANNEX_ERROR_UNSUPPORTED, "the machine runs under another version of annex", hint);
}

static void on_watch(struct client *client, const struct message *message)
{
	if (message->size > 0) {
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: WATCH that is malformed", NULL);
		return;
	}
	client->watching = true;
	tell_state(client);
}

static void on_stop(struct client *client, const struct message *message)
{
	struct message_stop stop;

	if (message_get(&stop, message->kind, message->payload, message->size) < 0)
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: STOP that is malformed", NULL);
	else
		supervisor_stop(client->clients->supervisor, stop.timeout_ms);
}

static void on_start(struct client *client, const struct message *message)
{
	if (message->size > 0)
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: START that is malformed", NULL);
	else
		supervisor_start_now(client->clients->supervisor);
}

static bool is_running(struct client *client, uint16_t stream)
{
	const struct supervisor *supervisor = client->clients->supervisor;
	auto_text struct text hint = {0};

	if (supervisor->state == MACHINE_RUNNING)
		return true;
	text_printf(&hint, "annex start %s", supervisor->record->name); /* it waits for either */
	tell_failure(client, stream, ANNEX_ERROR_BUSY,
		     supervisor->state == MACHINE_STOPPING ? "the machine is being stopped"
							   : "the machine is not up yet",
		     hint.data);
	check_queue(client, 0);
	return false;
}

static void on_mount(struct client *client, const struct message *message)
{
	struct message_mount mount;

	if (message_get(&mount, message->kind, message->payload, message->size) < 0)
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: MOUNT that is malformed", NULL);
	else if (is_running(client, 0))
		shares_mount(client->clients->supervisor->shares, client, &mount);
}

static void on_umount(struct client *client, const struct message *message)
{
	struct message_umount umount;

	if (message_get(&umount, message->kind, message->payload, message->size) < 0)
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: UMOUNT that is malformed", NULL);
	else if (is_running(client, 0))
		shares_umount(client->clients->supervisor->shares, client, &umount);
}

static void on_stats(struct client *client, const struct message *message)
{
	if (message->size > 0 || client->asked_usage) {
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: STATS that is malformed or not yet answered", NULL);
		return;
	}
	client->asked_usage = true;
	usage_ask(client->clients->supervisor->usage);
}

static void on_list_sessions(struct client *client, const struct message *message)
{
	auto_text_list struct text_list list = {0};

	if (message->size > 0)
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: LIST_SESSIONS that is malformed", NULL);
	else if (sessions_list(&list, client->clients->supervisor->sessions) < 0)
		refuse(client, ANNEX_ERROR_NO_MEMORY, "out of memory", NULL);
	else
		check_queue(client, channel_put(client->channel, MESSAGE_SESSIONS, 0,
						&(struct message_sessions){(const char *const *)list.items}));
}

static void on_kill(struct client *client, const struct message *message)
{
	auto_error struct annex_error *err = NULL;
	struct message_kill asked;

	if (message_get(&asked, message->kind, message->payload, message->size) < 0) {
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: KILL that is malformed", NULL);
		return;
	}
	if (sessions_kill(client->clients->supervisor->sessions, &asked, &err) == 0)
		check_queue(client, channel_put(client->channel, MESSAGE_DONE, 0, NULL));
	else
		clients_answer(client->clients, client, err);
}

static void on_apply(struct client *client, const struct message *message)
{
	struct message_apply apply;

	if (message_get(&apply, message->kind, message->payload, message->size) < 0) {
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: APPLY that is malformed", NULL);
		return;
	}
	if (is_running(client, 0))
		resources_apply(client->clients->supervisor->resources, client, &apply);
	message_clear(&apply, message->kind);
}

static void on_session(struct client *client, const struct message *message)
{
	struct supervisor *supervisor = client->clients->supervisor;
	struct relay_route route = {0};

	if (message->kind == MESSAGE_OPEN) {
		if (!is_running(client, message->stream))
			return;
		if (sessions_prepare(supervisor->sessions, message) < 0) {
			tell_failure(client, message->stream, ANNEX_ERROR_NO_MEMORY, "out of memory", NULL);
			return;
		}
	}
	switch (relay_from_client(supervisor->relay, &route, client, message)) {
	case RELAY_PASS:
		if (message->kind == MESSAGE_OPEN)
			sessions_begin(supervisor->sessions, route.guest);
		guest_forward(supervisor->guest, message->kind, route.guest, message->payload, message->size);
		if (guest_is_congested(supervisor->guest)) {
			client->waiting = true;
			channel_pause(client->channel);
		}
		break;
	case RELAY_KEEP:
	case RELAY_DROP:
		break;
	case RELAY_FULL:
		tell_failure(client, message->stream, ANNEX_ERROR_BUSY, "the machine has too many sessions", NULL);
		check_queue(client, 0);
		break;
	case RELAY_BROKEN:
		log_info("a client broke the protocol by %s", message_name(message->kind));
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: a session's message out of place", NULL);
		break;
	}
}

static void on_list_ports(struct client *client, const struct message *message)
{
	if (message->size > 0)
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: LIST_PORTS that is malformed", NULL);
	else if (is_running(client, 0))
		network_list(client->clients->supervisor->network, client);
}

static void on_publish(struct client *client, const struct message *message)
{
	struct message_publish publish;

	if (message_get(&publish, message->kind, message->payload, message->size) < 0)
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: PUBLISH that is malformed", NULL);
	else if (is_running(client, 0))
		network_publish(client->clients->supervisor->network, client, &publish);
}

static void on_unpublish(struct client *client, const struct message *message)
{
	struct message_unpublish unpublish;

	if (message_get(&unpublish, message->kind, message->payload, message->size) < 0)
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: UNPUBLISH that is malformed", NULL);
	else if (is_running(client, 0))
		network_unpublish(client->clients->supervisor->network, client, &unpublish);
}

static const struct {
	enum message_kind kind;
	void (*handle)(struct client *client, const struct message *message);
} handlers[] = {
	{MESSAGE_HELLO, on_hello},
	{MESSAGE_WATCH, on_watch},
	{MESSAGE_STOP, on_stop},
	{MESSAGE_START, on_start},
	{MESSAGE_MOUNT, on_mount},
	{MESSAGE_UMOUNT, on_umount},
	{MESSAGE_LIST_SESSIONS, on_list_sessions},
	{MESSAGE_KILL, on_kill},
	{MESSAGE_STATS, on_stats},
	{MESSAGE_APPLY, on_apply},
	{MESSAGE_LIST_PORTS, on_list_ports},
	{MESSAGE_PUBLISH, on_publish},
	{MESSAGE_UNPUBLISH, on_unpublish},
};

static void on_message(struct channel *channel, const struct message *message, void *data)
{
	struct client *client = data;

	(void)channel;
	if (!client->greeted && message->kind != MESSAGE_HELLO) {
		refuse(client, ANNEX_ERROR_USAGE, "broken protocol: no HELLO", NULL);
		return;
	}
	if (message->stream != 0) {
		on_session(client, message);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(handlers); i++) {
		if (handlers[i].kind == message->kind) {
			handlers[i].handle(client, message);
			return;
		}
	}
	refuse(client, ANNEX_ERROR_USAGE, "broken protocol: a message out of place", NULL);
}

static void on_end(struct channel *channel, int os, void *data)
{
	struct client *client = data;

	(void)channel;
	if (os == EPROTO || os == EMSGSIZE)
		log_info("a client sent what is no message");
	free_client(client);
}

static void on_drained(struct channel *channel, void *data)
{
	struct client *client = data;

	(void)channel;
	if (client->stale && client->watching)
		tell_state(client);
}

static const struct channel_callbacks callbacks = {on_message, on_end, on_drained};

/* Takes fd. */
static struct client *add_client(struct clients *clients, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	auto_close int owned = fd;

	if (!client)
		return NULL;
	client->clients = clients;
	if (channel_new(&client->channel, clients->supervisor->loop, fd, &callbacks, client) < 0) {
		free(client);
		return NULL;
	}
	owned = -1;
	client->next = clients->first;
	clients->first = client;
	clients->count++;
	channel_put(client->channel, MESSAGE_HELLO, 0, &(struct message_hello){WIRE_VERSION, "supervisor"});
	return client;
}

static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return false;
	return peer.uid == getuid() || peer.uid == 0;
}

static void on_connection(struct loop_source *source, int listener, uint32_t events, void *data)
{
	struct clients *clients = data;
	auto_close int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	(void)source;
	(void)events;
	if (fd < 0 || !is_allowed(fd))
		return;
	client = add_client(clients, TAKE_FD(fd));
	if (client && clients->count > CLIENTS_MAX)
		refuse(client, ANNEX_ERROR_BUSY, "the machine has too many clients", NULL);
	if (clients->count > CLIENTS_MAX + CLIENTS_REFUSED)
		loop_source_watch(clients->source, 0);
}

static int listen_at(const char *path, struct annex_error **err)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length;

	length = snprintf(address.sun_path, sizeof(address.sun_path), "%s.new", path);
	if (length >= (int)sizeof(address.sun_path)) {
		fail(err, ANNEX_ERROR_USAGE, "socket path %s is too long", path);
		return fail_hint(err, "set XDG_RUNTIME_DIR to a shorter folder");
	}
	unlink(address.sun_path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0600) < 0 || listen(fd, CLIENTS_MAX) < 0 || rename(address.sun_path, path) < 0)
		return fail_os(err, errno, "cannot listen at %s", path);
	return TAKE_FD(fd);
}

int clients_new(struct clients **ret, struct supervisor *supervisor, int *first, struct annex_error **err)
{
	struct clients *clients = calloc(1, sizeof(*clients));
	struct client *client;
	int result;

	if (!clients)
		return fail_memory(err);
	clients->supervisor = supervisor;
	clients->listener = listen_at(supervisor->socket, err);
	if (clients->listener < 0) {
		clients_free(clients);
		return -1;
	}
	result = loop_add_fd(&clients->source, supervisor->loop, clients->listener, EPOLLIN, on_connection, clients);
	if (result < 0) {
		clients_free(clients);
		return fail_os(err, result, "cannot watch %s", supervisor->socket);
	}
	client = *first >= 0 ? add_client(clients, TAKE_FD(*first)) : NULL;
	if (client)
		client->watching = true;
	*ret = clients;
	return 0;
}

void clients_free(struct clients *clients)
{
	if (!clients)
		return;
	while (clients->first)
		free_client(clients->first);
	loop_source_free(clients->source);
	cleanup_close(&clients->listener);
	free(clients);
}

void clients_tell_state(struct clients *clients)
{
	struct client *next;

	for (struct client *client = clients ? clients->first : NULL; client; client = next) {
		next = client->next;
		if (client->watching)
			tell_state(client);
	}
}

void clients_tell_usage(struct clients *clients, const struct message_usage *usage)
{
	struct client *next;

	for (struct client *client = clients->first; client; client = next) {
		next = client->next;
		if (!client->asked_usage)
			continue;
		client->asked_usage = false;
		if (!client->closing)
			check_queue(client, channel_put(client->channel, MESSAGE_USAGE, 0, usage));
	}
}

static struct client *find_client(const struct clients *clients, const void *owner)
{
	struct client *client = clients->first;

	while (client && client != owner)
		client = client->next;
	return client && !client->closing ? client : NULL;
}

void clients_answer(struct clients *clients, const void *owner, const struct annex_error *err)
{
	struct client *client = find_client(clients, owner);

	if (!client)
		return;
	if (err)
		tell_failure(client, 0, annex_error_kind(err), annex_error_message(err), annex_error_hint(err));
	check_queue(client, err ? 0 : channel_put(client->channel, MESSAGE_DONE, 0, NULL));
}

void clients_send(struct clients *clients, const void *owner, enum message_kind kind, uint16_t stream, const void *body)
{
	struct client *client = find_client(clients, owner);

	if (client)
		check_queue(client, channel_put(client->channel, kind, stream, body));
}

void clients_forward(struct clients *clients, const void *owner, enum message_kind kind, uint16_t stream,
		     const void *payload, size_t size)
{
	struct client *client = find_client(clients, owner);

	if (client)
		check_queue(client, channel_forward(client->channel, kind, stream, payload, size));
}

void clients_end_sessions(struct clients *clients, const char *why, const char *hint)
{
	struct relay_route route;

	sessions_lose(clients->supervisor->sessions);
	while (relay_take(clients->supervisor->relay, &route)) {
		for (struct client *client = clients->first; client; client = client->next) {
			if (client == route.owner && !client->closing)
				tell_failure(client, route.stream, ANNEX_ERROR_GUEST, why, hint);
		}
	}
}

void clients_resume(struct clients *clients)
{
	for (struct client *client = clients->first; client; client = client->next) {
		if (client->waiting && !client->closing)
			channel_resume(client->channel);
		client->waiting = false;
	}
}

void clients_close(struct clients *clients)
{
	clients->closing = true;
	loop_source_free(TAKE(clients->source));
	cleanup_close(&clients->listener);
	clients->listener = -1;
	for (struct client *client = clients->first; client; client = client->next) {
		client->closing = true;
		channel_close_when_drained(client->channel);
	}
}

bool clients_are_gone(const struct clients *clients)
{
	return clients->first == NULL;
}
