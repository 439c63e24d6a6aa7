/*
 * Only who listens for a forward may begin connections through it, so neither side can have the other connect to what
 * it did not ask for. Of each connection is known what either side has sent and not got back, whether it has told its
 * end, and whether it is done; a number is free again when both are, so that nothing late can be taken for a new
 * connection's.
 */
#include "supervisor/connections.h"

#include "forward/offer.h"

enum { CLIENT, GUEST, SIDES };

struct connection {
	uint32_t number;
	uint32_t unreturned[SIDES]; /* by who sent it */
	bool ended[SIDES], done[SIDES];
};

struct connections {
	uint32_t forwards;
	bool by_guest[WIRE_FORWARDS_MAX];
	uint32_t begun[SIDES]; /* how many are open, by who began them */
	uint32_t count;
	struct connection items[WIRE_CONNECTIONS_MAX * SIDES];
};

int connections_new(struct connections **ret, const char *const *forwards)
{
	int count = offer_count(forwards);
	struct connections *made;
	struct offer offer;

	if (count < 0)
		return count;
	if (count == 0) {
		*ret = NULL;
		return 0;
	}
	made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->forwards = (uint32_t)count;
	for (int i = 0; i < count; i++)
		made->by_guest[i] = offer_parse(&offer, forwards[i]) && offer.by_guest;
	*ret = made;
	return 0;
}

void connections_free(struct connections *connections)
{
	free(connections);
}

size_t connections_count(const struct connections *connections)
{
	return connections ? connections->count : 0;
}

static unsigned side_of(uint32_t number)
{
	return number % 2 ? GUEST : CLIENT;
}

static struct connection *find(struct connections *connections, uint32_t number)
{
	for (uint32_t i = 0; i < connections->count; i++) {
		if (connections->items[i].number == number)
			return &connections->items[i];
	}
	return NULL;
}

static bool take_connect(struct connections *connections, const struct message_connect *connect, unsigned sender)
{
	if (connect->connection < WIRE_CONNECTION_FIRST || side_of(connect->connection) != sender ||
	    connect->forward >= connections->forwards || connections->by_guest[connect->forward] != (sender == GUEST) ||
	    connections->begun[sender] == WIRE_CONNECTIONS_MAX || find(connections, connect->connection))
		return false;
	connections->items[connections->count++] = (struct connection){.number = connect->connection};
	connections->begun[sender]++;
	return true;
}

static bool take_transfer(struct connections *connections, const struct message *message, unsigned sender)
{
	struct connection *connection;
	uint32_t number = 0, size;

	if (message_get_connection(&number, message->payload, message->size) < 0 ||
	    message->size - TRANSFER_HEADER > MESSAGE_DATA_MAX)
		return false;
	connection = find(connections, number);
	if (!connection || connection->done[sender] || connection->ended[sender])
		return false;
	size = (uint32_t)message->size - TRANSFER_HEADER;
	connection->ended[sender] = size == 0;
	connection->unreturned[sender] += size;
	return connection->unreturned[sender] <= WIRE_CONNECTION_WINDOW;
}

static bool take_credit(struct connections *connections, const struct message_credit *credit, unsigned sender)
{
	struct connection *connection = find(connections, credit->channel);

	if (!connection || connection->done[sender] || credit->bytes > connection->unreturned[!sender])
		return false;
	connection->unreturned[!sender] -= credit->bytes;
	return true;
}

static bool take_disconnect(struct connections *connections, uint32_t number, unsigned sender)
{
	struct connection *connection = find(connections, number);

	if (!connection || connection->done[sender])
		return false;
	connection->done[sender] = true;
	if (!connection->done[!sender])
		return true;
	connections->begun[side_of(number)]--;
	*connection = connections->items[--connections->count];
	return true;
}

bool connections_judge(struct connections *connections, const struct message *message, bool from_guest)
{
	unsigned sender = from_guest ? GUEST : CLIENT;
	union {
		struct message_connect connect;
		struct message_credit credit;
		struct message_disconnect disconnect;
	} body;

	if (!connections)
		return false;
	if (message->kind == MESSAGE_TRANSFER)
		return take_transfer(connections, message, sender);
	if (message->kind != MESSAGE_CONNECT && message->kind != MESSAGE_CREDIT && message->kind != MESSAGE_DISCONNECT)
		return false; /* what there is no room for below */
	if (message_get(&body, message->kind, message->payload, message->size) < 0)
		return false;
	if (message->kind == MESSAGE_CONNECT)
		return take_connect(connections, &body.connect, sender);
	if (message->kind == MESSAGE_CREDIT)
		return take_credit(connections, &body.credit, sender);
	return take_disconnect(connections, body.disconnect.connection, sender);
}
