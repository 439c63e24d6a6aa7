/*
 * A listener is watched only while another connection of this side may begin: those that are too many wait in its
 * queue, as they would for a server that is slow. Where the process has no descriptors left it is looked at again a
 * little later.
 */
#include "forward/forwards.h"

#include "forward/socket.h"

#include <sys/socket.h>

enum { AGAIN_MS = 100, NUMBER_STEP = 2 };

static const struct connection_rules rules = {
	.window = WIRE_CONNECTION_WINDOW, .widest = WIRE_CONNECTION_WINDOW, .chunk = MESSAGE_DATA_MAX};

struct listener {
	struct forwards *all;
	uint32_t forward;
	int fd; /* -1: this side doesn't listen */
	struct loop_source *source;
};

struct forwards {
	struct loop *loop;
	enum forwards_side side;
	const struct forwards_callbacks *callbacks;
	void *data;
	uint32_t count;
	bool by_us[WIRE_FORWARDS_MAX]; /* this side listens */
	struct listener listeners[WIRE_FORWARDS_MAX];
	struct loop_source *again;
	struct connection *first;
	uint32_t counts[2]; /* of connections: theirs, ours */
	uint32_t next;      /* a number of ours */
	bool running;
};

static uint32_t lowest(enum forwards_side side)
{
	return side == FORWARDS_GUEST ? WIRE_CONNECTION_FIRST + 1 : WIRE_CONNECTION_FIRST;
}

int forwards_new(struct forwards **ret, struct loop *loop, enum forwards_side side, const char *const *offers,
		 const struct forwards_callbacks *callbacks, void *data)
{
	struct forwards *forwards = calloc(1, sizeof(*forwards));
	struct offer offer;

	if (!forwards)
		return -ENOMEM;
	*forwards = (struct forwards){
		.loop = loop, .side = side, .callbacks = callbacks, .data = data, .next = lowest(side)};
	for (; offers[forwards->count] && forwards->count < WIRE_FORWARDS_MAX; forwards->count++) {
		forwards->listeners[forwards->count] =
			(struct listener){.all = forwards, .forward = forwards->count, .fd = -1};
		forwards->by_us[forwards->count] =
			offer_parse(&offer, offers[forwards->count]) && offer.by_guest == (side == FORWARDS_GUEST);
	}
	*ret = forwards;
	return 0;
}

static void stop_listening(struct listener *listener)
{
	loop_source_free(listener->source);
	listener->source = NULL;
	socket_close(&listener->fd);
}

void forwards_free(struct forwards *forwards)
{
	if (!forwards)
		return;
	loop_source_free(forwards->again);
	for (uint32_t i = 0; i < forwards->count; i++)
		stop_listening(&forwards->listeners[i]);
	while (forwards->first) {
		struct connection *connection = forwards->first;

		forwards->first = connection->next;
		connection_free(connection);
	}
	free(forwards);
}

static struct connection *find(const struct forwards *forwards, uint32_t number)
{
	struct connection *connection = forwards->first;

	while (connection && connection->number != number)
		connection = connection->next;
	return connection;
}

static void watch_listeners(struct forwards *forwards)
{
	bool wanted = forwards->running && forwards->counts[true] < WIRE_CONNECTIONS_MAX;

	for (uint32_t i = 0; i < forwards->count; i++) {
		if (forwards->listeners[i].source)
			loop_source_watch(forwards->listeners[i].source, wanted ? EPOLLIN : 0);
	}
}

/* Forget a connection that is over. */
static void tidy(struct forwards *forwards, struct connection *connection)
{
	struct connection **at = &forwards->first;

	if (!connection_is_over(connection))
		return;
	while (*at != connection)
		at = &(*at)->next;
	*at = connection->next;
	forwards->counts[connection->ours]--;
	connection_free(connection);
	watch_listeners(forwards);
}

static void on_moved(struct connection *connection, void *data)
{
	struct forwards *forwards = data;

	tidy(forwards, connection);
	forwards->callbacks->moved(forwards->data);
}

static struct connection *add(struct forwards *forwards, uint32_t number, uint32_t forward, bool ours)
{
	struct connection *connection =
		connection_new(number, forward, ours, &rules, &forwards->callbacks->link, forwards->data);

	if (!connection)
		return NULL;
	connection->moved = on_moved;
	connection->data = forwards;
	connection->next = forwards->first;
	forwards->first = connection;
	forwards->counts[ours]++;
	return connection;
}

static uint32_t take_number(struct forwards *forwards)
{
	uint32_t number;

	do {
		number = forwards->next;
		forwards->next += NUMBER_STEP;
		if (forwards->next < WIRE_CONNECTION_FIRST)
			forwards->next = lowest(forwards->side);
	} while (find(forwards, number));
	return number;
}

/* Takes fd. */
static void begin(struct forwards *forwards, uint32_t forward, int fd)
{
	struct connection *connection = add(forwards, take_number(forwards), forward, true);

	if (!connection) {
		cleanup_close(&fd);
		return;
	}
	forwards->callbacks->link.send(MESSAGE_CONNECT,
				       &(struct message_connect){.connection = connection->number, .forward = forward},
				       forwards->data);
	connection_attach(connection, forwards->loop, fd);
}

static void on_again(struct loop_source *source, void *data)
{
	(void)source;
	watch_listeners(data);
}

/* False: there is none, or no room for one. */
static bool accept_one(struct listener *listener)
{
	struct forwards *forwards = listener->all;
	int fd;

	if (forwards->counts[true] >= WIRE_CONNECTIONS_MAX)
		return false;
	fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
		loop_source_watch(listener->source, 0);
		if (forwards->again)
			loop_timer_restart(forwards->again, AGAIN_MS);
	}
	if (fd < 0)
		return false;
	begin(forwards, listener->forward, fd);
	return true;
}

static void on_connection(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct listener *listener = data;
	struct forwards *forwards = listener->all;

	(void)source;
	(void)fd;
	(void)events;
	if (accept_one(listener) || forwards->counts[true] >= WIRE_CONNECTIONS_MAX)
		watch_listeners(forwards);
	forwards->callbacks->moved(forwards->data);
}

bool forwards_listen(struct forwards *forwards, uint32_t forward, int fd)
{
	if (forward >= forwards->count || !forwards->by_us[forward] || forwards->listeners[forward].fd >= 0) {
		cleanup_close(&fd);
		return false;
	}
	forwards->listeners[forward].fd = fd;
	return true;
}

int forwards_run(struct forwards *forwards)
{
	int result = loop_add_timer(&forwards->again, forwards->loop, AGAIN_MS, on_again, forwards);

	for (uint32_t i = 0; i < forwards->count && result == 0; i++) {
		struct listener *listener = &forwards->listeners[i];

		if (listener->fd >= 0)
			result = loop_add_fd(&listener->source, forwards->loop, listener->fd, 0, on_connection,
					     listener);
	}
	forwards->running = true;
	watch_listeners(forwards);
	return result;
}

void forwards_attach(struct forwards *forwards, uint32_t number, int fd)
{
	struct connection *connection = find(forwards, number);

	if (!connection || connection->fd >= 0) {
		cleanup_close(&fd);
		return;
	}
	connection_attach(connection, forwards->loop, fd);
	tidy(forwards, connection);
}

bool forwards_awaits(const struct forwards *forwards, uint32_t number)
{
	const struct connection *connection = find(forwards, number);

	return connection && connection->fd < 0 && !connection->done;
}

static bool is_theirs(const struct forwards *forwards, const struct message_connect *connect)
{
	return connect->forward < forwards->count && !forwards->by_us[connect->forward] &&
	       connect->connection >= WIRE_CONNECTION_FIRST && connect->connection % 2 != lowest(forwards->side) % 2 &&
	       forwards->counts[false] < WIRE_CONNECTIONS_MAX && !find(forwards, connect->connection);
}

static bool handle_connect(struct forwards *forwards, const struct message_connect *connect)
{
	if (!is_theirs(forwards, connect) || !add(forwards, connect->connection, connect->forward, false))
		return false;
	forwards->callbacks->connect(connect->forward, connect->connection, forwards->data);
	return true;
}

static bool handle_transfer(struct forwards *forwards, const struct message *message)
{
	struct connection *connection;
	uint32_t number = 0;
	bool valid;

	if (message_get_connection(&number, message->payload, message->size) < 0)
		return false;
	connection = find(forwards, number);
	if (!connection)
		return false;
	valid = connection_take(connection, message->payload + TRANSFER_HEADER, message->size - TRANSFER_HEADER);
	tidy(forwards, connection);
	return valid;
}

bool forwards_handle(struct forwards *forwards, const struct message *message)
{
	union {
		struct message_connect connect;
		struct message_credit credit;
		struct message_disconnect disconnect;
	} body;
	struct connection *connection;
	bool valid;

	if (message->kind == MESSAGE_TRANSFER)
		return handle_transfer(forwards, message);
	if ((message->kind != MESSAGE_CONNECT && message->kind != MESSAGE_CREDIT &&
	     message->kind != MESSAGE_DISCONNECT) ||
	    message_get(&body, message->kind, message->payload, message->size) < 0)
		return false;
	if (message->kind == MESSAGE_CONNECT)
		return handle_connect(forwards, &body.connect);
	if (message->kind == MESSAGE_CREDIT) {
		connection = find(forwards, body.credit.channel);
		return connection && connection_credit(connection, body.credit.bytes);
	}
	connection = find(forwards, body.disconnect.connection);
	if (!connection)
		return false;
	valid = connection_take_done(connection);
	tidy(forwards, connection);
	return valid;
}

void forwards_resume(struct forwards *forwards)
{
	for (struct connection *at = forwards->first; at; at = at->next)
		connection_resume(at);
}

void forwards_stop(struct forwards *forwards)
{
	for (uint32_t i = 0; i < forwards->count; i++)
		stop_listening(&forwards->listeners[i]);
}

void forwards_finish(struct forwards *forwards)
{
	for (uint32_t i = 0; i < forwards->count; i++) {
		while (forwards->listeners[i].source && accept_one(&forwards->listeners[i]))
			;
	}
	forwards_stop(forwards);
}

bool forwards_are_sent(const struct forwards *forwards)
{
	for (const struct connection *at = forwards->first; at; at = at->next) {
		if (connection_has_unsent(at))
			return false;
	}
	return true;
}

bool forwards_are_written(const struct forwards *forwards)
{
	for (const struct connection *at = forwards->first; at; at = at->next) {
		if (connection_has_unwritten(at))
			return false;
	}
	return true;
}
