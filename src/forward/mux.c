/*
 * Connections are found by their number in a table. Those that have something to send while the link is full stand in a
 * line, and are let go on some at a time as the link empties: so each gets its turn, and a full link costs no more for
 * there being many.
 *
 * Short messages of a turn of the loop leave together at its end: each write to a virtio port costs the guest and QEMU
 * more than what is in it. Long ones leave at once, behind them; and what nobody waits for, that both ends of a
 * connection are done, may wait a little for others.
 *
 * What can't be done where it is found out, with a connection's functions still running, is left to `later`, a timer of
 * 0 ms.
 */
#include "forward/mux.h"

#include "loop/stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
	RESUMED_AT_ONCE = 16,
	LAZY_MS = 20,
	SHORT = 4 << 10,
	/* A frame is as long as what the guest's kernel takes in one write: eight of its pages when it reads them. */
	CHUNK = (32 << 10) - (int)(FRAME_HEADER + TRANSFER_HEADER),
};

static const struct connection_rules rules = {
	.window = WIRE_PORT_WINDOW, .widest = WIRE_PORT_WINDOW_MAX, .chunk = CHUNK, .resets = true};

struct mux {
	struct loop *loop;
	enum mux_side side;
	int fd;
	struct stream *stream; /* on a duplicate of it; NULL: it is down */
	struct loop_source *later, *flush;
	const struct mux_callbacks *callbacks;
	void *data;
	uint8_t marker[WIRE_MARKER];
	bool found;    /* the marker */
	bool overflow; /* the peer does not read */
	struct message_reader reader;
	struct text waiting; /* what is sent at the end of the turn */
	struct connection *first_held, *last_held;
	size_t count, lowest_free;
	struct connection *table[WIRE_PORT_CONNECTIONS_MAX];
};

static void unhold(struct mux *mux, struct connection *connection)
{
	if (connection->previous_held)
		connection->previous_held->next_held = connection->next_held;
	else
		mux->first_held = connection->next_held;
	if (connection->next_held)
		connection->next_held->previous_held = connection->previous_held;
	else
		mux->last_held = connection->previous_held;
	connection->previous_held = connection->next_held = NULL;
}

static void hold(struct mux *mux, struct connection *connection)
{
	connection->previous_held = mux->last_held;
	connection->next_held = NULL;
	if (mux->last_held)
		mux->last_held->next_held = connection;
	else
		mux->first_held = connection;
	mux->last_held = connection;
}

static void overflow(struct mux *mux)
{
	mux->overflow = true;
	loop_timer_restart(mux->later, 0);
}

static void write_bytes(struct mux *mux, const void *bytes, size_t size)
{
	if (stream_write(mux->stream, bytes, size) == -ENOBUFS)
		overflow(mux); /* other failures are its end, and told */
}

static void flush(struct mux *mux)
{
	if (mux->stream && mux->waiting.size > 0)
		write_bytes(mux, mux->waiting.data, mux->waiting.size);
	if (mux->waiting.capacity > FRAME_MAX)
		text_clear(&mux->waiting);
	mux->waiting.size = 0;
}

static void on_flush(struct loop_source *source, void *data)
{
	(void)source;
	flush(data);
}

/* Something was added to what waits, or should have been. */
static void added(struct mux *mux, int result)
{
	if (result < 0)
		overflow(mux);
	else if (mux->waiting.size >= CHUNK)
		flush(mux);
	else
		loop_defer(mux->flush);
}

static void send_lazily(struct mux *mux, enum message_kind kind, const void *body)
{
	bool alone = mux->waiting.size == 0, may_wait = !mux->first_held && !mux->overflow; /* `later` is for them */
	int result = mux_is_up(mux) ? message_put(&mux->waiting, kind, 0, body) : 0;

	if (!may_wait || result < 0)
		added(mux, result);
	else if (alone && mux->waiting.size > 0)
		loop_timer_restart(mux->later, LAZY_MS);
}

static bool has_room(const struct mux *mux)
{
	return mux_is_up(mux) && mux->waiting.size + stream_queued(mux->stream) < MUX_ROOM;
}

static void resume_some(struct mux *mux)
{
	for (int i = 0; i < RESUMED_AT_ONCE && mux->first_held && has_room(mux); i++) {
		struct connection *connection = mux->first_held;

		unhold(mux, connection);
		connection_resume(connection);
	}
	/* Where they don't fill the link nobody else would tell that there is room. */
	if (mux->first_held && has_room(mux))
		loop_timer_restart(mux->later, 0);
}

static void take_down(struct mux *mux)
{
	stream_free(mux->stream);
	mux->stream = NULL;
	mux->found = mux->overflow = false;
	message_reader_clear(&mux->reader);
	text_clear(&mux->waiting);
	for (size_t i = 0; i < WIRE_PORT_CONNECTIONS_MAX && mux->count > 0; i++) {
		if (!mux->table[i])
			continue;
		connection_abort(mux->table[i]);
		mux->table[i] = NULL;
		mux->count--;
	}
	mux->first_held = mux->last_held = NULL;
	mux->lowest_free = 0;
}

static void break_off(struct mux *mux, const char *why)
{
	take_down(mux);
	mux->callbacks->on_down(why, mux->data);
}

static void on_later(struct loop_source *source, void *data)
{
	struct mux *mux = data;

	(void)source;
	if (mux->overflow) {
		break_off(mux, "it does not read");
		return;
	}
	flush(mux);
	resume_some(mux);
}

/* Connections. */

static struct connection *find(const struct mux *mux, uint32_t number)
{
	size_t place = number - WIRE_CONNECTION_FIRST;

	return number >= WIRE_CONNECTION_FIRST && place < WIRE_PORT_CONNECTIONS_MAX ? mux->table[place] : NULL;
}

/* Forget a connection that is over. */
static void tidy(struct mux *mux, struct connection *connection)
{
	size_t place = connection->number - WIRE_CONNECTION_FIRST;

	if (!connection_is_over(connection))
		return;
	if (connection->held)
		unhold(mux, connection);
	mux->table[place] = NULL;
	mux->count--;
	if (place < mux->lowest_free)
		mux->lowest_free = place;
	connection_free(connection);
}

static void on_moved(struct connection *connection, void *data)
{
	tidy(data, connection);
}

static void on_send(enum message_kind kind, const void *body, void *data)
{
	const struct message_disconnect *disconnect = body;
	struct mux *mux = data;

	if (kind == MESSAGE_DISCONNECT && find(mux, disconnect->connection)->got_done)
		send_lazily(mux, kind, body);
	else
		mux_send(mux, kind, body);
}

static void on_send_data(enum message_kind kind, void *payload, size_t size, void *data)
{
	mux_send_data(data, kind, payload, size);
}

static bool on_has_room(struct connection *connection, void *data)
{
	struct mux *mux = data;

	if (has_room(mux))
		return true;
	hold(mux, connection);
	return false;
}

static const struct forward_link connection_link = {on_send, on_send_data, on_has_room};

static struct connection *add(struct mux *mux, size_t place, bool ours)
{
	struct connection *connection =
		connection_new((uint32_t)(WIRE_CONNECTION_FIRST + place), 0, ours, &rules, &connection_link, mux);

	if (!connection)
		return NULL;
	connection->moved = on_moved;
	connection->data = mux;
	mux->table[place] = connection;
	mux->count++;
	return connection;
}

struct connection *mux_open(struct mux *mux)
{
	size_t place = mux->lowest_free;

	while (place < WIRE_PORT_CONNECTIONS_MAX && mux->table[place])
		place++;
	mux->lowest_free = place;
	return mux_is_up(mux) && place < WIRE_PORT_CONNECTIONS_MAX ? add(mux, place, true) : NULL;
}

struct connection *mux_accept(struct mux *mux, uint32_t number)
{
	size_t place = number - WIRE_CONNECTION_FIRST;

	if (number < WIRE_CONNECTION_FIRST || place >= WIRE_PORT_CONNECTIONS_MAX || mux->table[place])
		return NULL;
	return add(mux, place, false);
}

void mux_attach(struct mux *mux, struct connection *connection, int fd, bool connecting)
{
	if (connecting)
		connection_attach_connecting(connection, mux->loop, fd);
	else
		connection_attach(connection, mux->loop, fd);
	/* Its client has often sent something by now, which the guest is to have together with the news. */
	if (mux->side == MUX_HOST) {
		connection_guard(connection);
		connection_poll(connection);
	}
	tidy(mux, connection);
}

size_t mux_count(const struct mux *mux)
{
	return mux->count;
}

/* The link. */

static bool handle_transfer(struct mux *mux, const struct message *message)
{
	struct connection *connection;
	uint32_t number = 0;
	bool valid;

	if (message_get_connection(&number, message->payload, message->size) < 0)
		return false;
	connection = find(mux, number);
	if (!connection)
		return false;
	valid = connection_take(connection, message->payload + TRANSFER_HEADER, message->size - TRANSFER_HEADER);
	tidy(mux, connection);
	return valid;
}

static bool handle_credit(struct mux *mux, const struct message *message)
{
	struct message_credit credit;
	struct connection *connection;

	if (message_get(&credit, message->kind, message->payload, message->size) < 0)
		return false;
	connection = find(mux, credit.channel);
	return connection && connection_credit(connection, credit.bytes);
}

static bool handle_disconnect(struct mux *mux, const struct message *message)
{
	struct message_disconnect disconnect;
	struct connection *connection;
	bool valid;

	if (message_get(&disconnect, message->kind, message->payload, message->size) < 0)
		return false;
	if (disconnect.connection >= WIRE_PORT_FLOW_FIRST)
		return mux->callbacks->on_message(message, mux->data);
	connection = find(mux, disconnect.connection);
	if (!connection)
		return false;
	valid = connection_take_done(connection);
	tidy(mux, connection);
	return valid;
}

static bool handle(struct mux *mux, const struct message *message)
{
	if (message->stream != 0)
		return false;
	if (message->kind == MESSAGE_TRANSFER)
		return handle_transfer(mux, message);
	if (message->kind == MESSAGE_CREDIT)
		return handle_credit(mux, message);
	if (message->kind == MESSAGE_DISCONNECT)
		return handle_disconnect(mux, message);
	return mux->callbacks->on_message(message, mux->data);
}

/* How much of what came was used. */
static size_t find_marker(struct mux *mux, const void *bytes, size_t size)
{
	const char *at = memmem(bytes, size, mux->marker, WIRE_MARKER);

	if (!at)
		return size < WIRE_MARKER ? 0 : size - (WIRE_MARKER - 1);
	mux->found = true;
	if (mux->side == MUX_HOST)
		write_bytes(mux, mux->marker, WIRE_MARKER);
	mux->callbacks->on_up(mux->data);
	return (size_t)(at - (const char *)bytes) + WIRE_MARKER;
}

static size_t on_data(struct stream *stream, const void *bytes, size_t size, void *data)
{
	struct mux *mux = data;
	struct message message;
	char why[64];
	size_t used = 0;

	if (!mux->found) {
		used = find_marker(mux, bytes, size);
		return mux->stream == stream ? used : 0;
	}
	switch (message_read(&mux->reader, &message, bytes, size, &used)) {
	case FRAME_READY:
		if (!handle(mux, &message))
			break;
		return mux->stream == stream ? used : 0;
	case FRAME_NEED_MORE:
		return used;
	case FRAME_BROKEN:
		break_off(mux, "what is no frame");
		return 0;
	}
	snprintf(why, sizeof(why), "%s (%u) that is malformed or out of order", message_name(message.kind),
		 message.kind);
	break_off(mux, why);
	return 0;
}

static void on_end(struct stream *stream, int os, void *data)
{
	(void)stream;
	break_off(data, os == EMSGSIZE ? "a message that is too long" : NULL);
}

static void on_drained(struct stream *stream, void *data)
{
	(void)stream;
	resume_some(data);
}

static const struct stream_callbacks stream_callbacks = {on_data, on_end, on_drained};

int mux_new(struct mux **ret, struct loop *loop, enum mux_side side, int fd, const struct mux_callbacks *callbacks,
	    void *data)
{
	struct mux *mux = calloc(1, sizeof(*mux));
	int result;

	if (!mux) {
		cleanup_close(&fd);
		return -ENOMEM;
	}
	mux->loop = loop;
	mux->side = side;
	mux->fd = fd;
	mux->callbacks = callbacks;
	mux->data = data;
	result = loop_add_timer(&mux->later, loop, UINT64_MAX, on_later, mux);
	if (result == 0)
		result = loop_add_deferred(&mux->flush, loop, on_flush, mux);
	if (result < 0) {
		mux_free(mux);
		return result;
	}
	*ret = mux;
	return 0;
}

void mux_free(struct mux *mux)
{
	if (!mux)
		return;
	take_down(mux);
	loop_source_free(mux->later);
	loop_source_free(mux->flush);
	cleanup_close(&mux->fd);
	free(mux);
}

int mux_begin(struct mux *mux, const uint8_t marker[WIRE_MARKER])
{
	auto_close int copy = fcntl(mux->fd, F_DUPFD_CLOEXEC, 3);
	int result = -errno;

	take_down(mux);
	if (copy >= 0)
		result = stream_new(&mux->stream, mux->loop,
				    &(struct stream_options){.fd_in = copy,
							     .fd_out = copy,
							     .callbacks = &stream_callbacks,
							     .data = mux,
							     .read_cap = (size_t)2 * FRAME_MAX,
							     .write_cap = MUX_QUEUE_MAX});
	if (result < 0)
		return result;
	(void)TAKE_FD(copy);
	memcpy(mux->marker, marker, WIRE_MARKER);
	if (mux->side == MUX_GUEST)
		write_bytes(mux, mux->marker, WIRE_MARKER);
	return 0;
}

bool mux_is_up(const struct mux *mux)
{
	return mux->stream && mux->found;
}

bool mux_has_room_for_datagrams(const struct mux *mux)
{
	return mux_is_up(mux) && stream_queued(mux->stream) < (size_t)2 * MUX_ROOM;
}

void mux_send(struct mux *mux, enum message_kind kind, const void *body)
{
	if (mux_is_up(mux))
		added(mux, message_put(&mux->waiting, kind, 0, body));
}

void mux_send_data(struct mux *mux, enum message_kind kind, void *payload, size_t size)
{
	uint8_t *frame = (uint8_t *)payload - FRAME_HEADER;

	if (!mux_is_up(mux))
		return;
	if (size < SHORT) {
		added(mux, message_put_data(&mux->waiting, kind, 0, payload, size));
		return;
	}
	flush(mux);
	frame_put_header(frame, (uint16_t)kind, 0, size);
	write_bytes(mux, frame, FRAME_HEADER + size);
}
