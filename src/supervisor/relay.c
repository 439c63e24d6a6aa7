/*
 * A session has a stream number on the guest's link, given out by us, and one on its client's link, chosen by the
 * client. Both ends of a session keep to the windows of wire/message.h, so that what waits in our queues is bounded;
 * `unreturned` is what each flow's sender has sent and not got back.
 *
 * A client can't know that a session has ended until it reads EXIT, so what it sends for an unknown stream is dropped.
 * The guest knows every stream, so what it sends for an unknown one breaks the protocol. When the owner has gone, its
 * sessions stay until the guest ends them; what they still send is dropped and credited, for a program that ignores
 * SIGHUP must not hang for lack of a reader. What a detached session sends is never its client's: it is kept.
 */
#include "supervisor/relay.h"

#include "supervisor/connections.h"

#include <assert.h>

enum flow { FLOW_INPUT, FLOW_OUTPUT, FLOW_ERRORS, FLOW_COUNT };

struct session {
	const void *owner;
	uint16_t stream;
	uint16_t guest;
	bool opened, detached;
	uint32_t unreturned[FLOW_COUNT];
	bool ended[FLOW_COUNT];
	struct connections *connections; /* NULL: it has no forwards */
};

struct relay {
	struct session *sessions[RELAY_SESSIONS_MAX];
	size_t count;
	uint16_t last; /* stream number given out on the guest's link */
};

int relay_new(struct relay **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void relay_free(struct relay *relay)
{
	struct relay_route route;

	while (relay && relay_take(relay, &route))
		;
	free(relay);
}

static struct session *find_guest(const struct relay *relay, uint16_t guest)
{
	for (size_t i = 0; i < relay->count; i++) {
		if (relay->sessions[i]->guest == guest)
			return relay->sessions[i];
	}
	return NULL;
}

static struct session *find_client(const struct relay *relay, const void *owner, uint16_t stream)
{
	for (size_t i = 0; i < relay->count; i++) {
		if (relay->sessions[i]->owner == owner && relay->sessions[i]->stream == stream)
			return relay->sessions[i];
	}
	return NULL;
}

static void end_session(struct relay *relay, struct session *session)
{
	for (size_t i = 0; i < relay->count; i++) {
		if (relay->sessions[i] == session)
			relay->sessions[i] = relay->sessions[--relay->count];
	}
	connections_free(session->connections);
	free(session);
}

static struct relay_route route_of(const struct session *session)
{
	return (struct relay_route){.owner = session->owner, .stream = session->stream, .guest = session->guest};
}

static bool flow_of(enum flow *ret, unsigned kind)
{
	switch (kind) {
	case MESSAGE_INPUT:
		*ret = FLOW_INPUT;
		return true;
	case MESSAGE_OUTPUT:
		*ret = FLOW_OUTPUT;
		return true;
	case MESSAGE_ERRORS:
		*ret = FLOW_ERRORS;
		return true;
	default:
		return false;
	}
}

/* Is the payload what its kind asks for? */
static bool well_formed(const struct message *message)
{
	union {
		struct message_open open;
		struct message_failure failure;
		struct message_resize resize;
		struct message_signal signal;
		struct message_opened opened;
		struct message_exit exit;
		struct message_credit credit;
	} body;

	if (message_get(&body, message->kind, message->payload, message->size) < 0)
		return false;
	message_clear(&body, message->kind);
	return true;
}

/* An empty message ends the flow; nothing follows it. */
static bool take_data(struct session *session, const struct message *message)
{
	enum flow flow = FLOW_INPUT;

	if (!flow_of(&flow, message->kind) || session->ended[flow] || message->size > MESSAGE_DATA_MAX)
		return false;
	session->ended[flow] = message->size == 0;
	session->unreturned[flow] += (uint32_t)message->size;
	return session->unreturned[flow] <= WIRE_WINDOW;
}

static bool take_credit(struct session *session, const struct message *message, bool for_input)
{
	enum flow flow = FLOW_INPUT;
	struct message_credit credit;

	if (message_get(&credit, MESSAGE_CREDIT, message->payload, message->size) < 0)
		return false;
	if (credit.channel >= WIRE_CONNECTION_FIRST)
		return connections_judge(session->connections, message, for_input);
	if (!flow_of(&flow, credit.channel) || (flow == FLOW_INPUT) != for_input)
		return false;
	if (credit.bytes > session->unreturned[flow])
		return false;
	session->unreturned[flow] -= credit.bytes;
	return true;
}

/* Who has opened a session that is detached does not stay to have connections. */
static int make_connections(struct connections **ret, const struct message *message, uint32_t *ret_flags)
{
	struct message_open open;
	int result = message_get(&open, MESSAGE_OPEN, message->payload, message->size);

	if (result < 0)
		return result;
	result = connections_new(ret, open.forwards);
	if (result == 0 && *ret && open.flags & OPEN_DETACH) {
		connections_free(*ret);
		result = -EPROTO;
	}
	*ret_flags = open.flags;
	message_clear(&open, MESSAGE_OPEN);
	return result;
}

static enum relay_result open_session(struct relay *relay, struct relay_route *ret, const void *owner,
				      const struct message *message)
{
	struct connections *connections = NULL;
	struct session *session;
	uint32_t flags = 0;
	int result;

	if (find_client(relay, owner, message->stream))
		return RELAY_BROKEN;
	*ret = (struct relay_route){.owner = owner, .stream = message->stream};
	result = make_connections(&connections, message, &flags);
	if (result < 0)
		return result == -ENOMEM ? RELAY_FULL : RELAY_BROKEN;
	session = calloc(1, sizeof(*session));
	if (!session || relay->count == RELAY_SESSIONS_MAX ||
	    relay_owner_count(relay, owner) >= RELAY_OWNER_SESSIONS_MAX) {
		connections_free(connections);
		free(session);
		return RELAY_FULL;
	}
	do {
		relay->last++;
	} while (relay->last == 0 || find_guest(relay, relay->last));
	*session = (struct session){.owner = owner,
				    .stream = message->stream,
				    .guest = relay->last,
				    .detached = flags & OPEN_DETACH,
				    .ended[FLOW_INPUT] = flags & (OPEN_NO_INPUT | OPEN_DETACH),
				    .connections = connections};
	relay->sessions[relay->count++] = session;
	*ret = route_of(session);
	return RELAY_PASS;
}

enum relay_result relay_from_client(struct relay *relay, struct relay_route *ret, const void *owner,
				    const struct message *message)
{
	struct session *session;
	bool valid;

	assert(owner && message->stream != 0);
	if (message->kind == MESSAGE_OPEN)
		return open_session(relay, ret, owner, message);
	session = find_client(relay, owner, message->stream);
	switch (message->kind) {
	case MESSAGE_INPUT:
		valid = !session || take_data(session, message);
		break;
	case MESSAGE_CREDIT:
		valid = !session || take_credit(session, message, false);
		break;
	case MESSAGE_CONNECT:
	case MESSAGE_TRANSFER:
	case MESSAGE_DISCONNECT:
		valid = !session || (session->opened && connections_judge(session->connections, message, false));
		break;
	case MESSAGE_RESIZE:
	case MESSAGE_SIGNAL:
	case MESSAGE_HANGUP:
		valid = well_formed(message);
		break;
	default:
		return RELAY_BROKEN;
	}
	if (!valid)
		return RELAY_BROKEN;
	if (!session)
		return RELAY_DROP;
	*ret = route_of(session);
	return RELAY_PASS;
}

/* What comes for a session whose client has gone, or that never had one. */
static enum relay_result take_back(struct relay_route *ret, struct session *session, const struct message *message)
{
	enum flow flow = FLOW_INPUT;

	if (flow_of(&flow, message->kind)) {
		ret->credit_flow = message->kind;
		ret->credit = (uint32_t)message->size;
		session->unreturned[flow] = 0;
	}
	return ret->credit_flow && session->detached ? RELAY_KEEP : RELAY_DROP;
}

enum relay_result relay_from_guest(struct relay *relay, struct relay_route *ret, const struct message *message)
{
	struct session *session = find_guest(relay, message->stream);
	bool valid, ends = false, is_data = false;

	if (!session)
		return RELAY_BROKEN;
	*ret = route_of(session);
	switch (message->kind) {
	case MESSAGE_OPENED:
		valid = !session->opened && well_formed(message);
		session->opened = true;
		break;
	case MESSAGE_OUTPUT:
	case MESSAGE_ERRORS:
		valid = session->opened && take_data(session, message);
		is_data = true;
		break;
	case MESSAGE_CREDIT:
		valid = take_credit(session, message, true);
		break;
	case MESSAGE_CONNECT:
	case MESSAGE_TRANSFER:
	case MESSAGE_DISCONNECT:
		valid = session->opened && connections_judge(session->connections, message, true);
		break;
	case MESSAGE_EXIT:
		valid = session->opened && well_formed(message);
		ends = true;
		break;
	case MESSAGE_FAILURE:
		valid = well_formed(message);
		ends = true;
		break;
	default:
		return RELAY_BROKEN;
	}
	if (!valid)
		return RELAY_BROKEN;
	if (ends)
		end_session(relay, session);
	if (ends)
		return ret->owner ? RELAY_PASS : RELAY_DROP;
	return ret->owner && !(is_data && session->detached) ? RELAY_PASS : take_back(ret, session, message);
}

bool relay_abandon(struct relay *relay, const void *owner, struct relay_hangup *ret)
{
	for (size_t i = 0; i < relay->count; i++) {
		struct session *session = relay->sessions[i];

		if (session->owner != owner)
			continue;
		session->owner = NULL;
		if (session->detached)
			continue;
		*ret = (struct relay_hangup){.guest = session->guest,
					     .output = session->unreturned[FLOW_OUTPUT],
					     .errors = session->unreturned[FLOW_ERRORS]};
		session->unreturned[FLOW_OUTPUT] = session->unreturned[FLOW_ERRORS] = 0;
		return true;
	}
	return false;
}

bool relay_take(struct relay *relay, struct relay_route *ret)
{
	if (relay->count == 0)
		return false;
	*ret = route_of(relay->sessions[relay->count - 1]);
	end_session(relay, relay->sessions[relay->count - 1]);
	return true;
}

size_t relay_count(const struct relay *relay)
{
	return relay->count;
}

size_t relay_owner_count(const struct relay *relay, const void *owner)
{
	size_t count = 0;

	for (size_t i = 0; i < relay->count; i++)
		count += relay->sessions[i]->owner == owner;
	return count;
}

size_t relay_owner_connections(const struct relay *relay, const void *owner)
{
	size_t count = 0;

	for (size_t i = 0; i < relay->count; i++) {
		if (relay->sessions[i]->owner == owner)
			count += connections_count(relay->sessions[i]->connections);
	}
	return count;
}
