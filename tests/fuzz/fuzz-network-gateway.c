/* Frames of a hostile machine, each behind its length in two bytes, taken for an uplink's as well: what is passed on
 * has the machine's addresses, and what comes back is for it. */
#include "network/gateway.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MACHINE 0x307u

static struct gateway *gateway;
static uint8_t own[6];

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void deliver(const uint8_t *header, size_t header_size, const uint8_t *rest, size_t size, void *data)
{
	(void)rest, (void)data;
	require(header_size >= PACKET_ETHERNET && header_size + size <= PACKET_MAX);
	require(memcmp(header, own, sizeof(own)) == 0);
}

static bool allows(const struct packet *packet, void *data)
{
	(void)data;
	require(packet->is_ip);
	return packet->destination_port % 2 != 0;
}

static void resolve(const uint8_t *message, size_t size, uint64_t from, void *data)
{
	(void)data;
	gateway_reply(gateway, message, size, from);
}

static bool has(uint32_t place, void *data)
{
	(void)data;
	return place == 0x404;
}

static void pass(const struct packet *packet, void *data)
{
	uint32_t place = 0;

	(void)data;
	require(place_of_hardware(&place, packet->to) && place == 0x404);
	require(memcmp(packet->from, own, sizeof(own)) == 0);
}

static void swallow(struct uplink *uplink, const struct packet *packet)
{
	uint32_t place = 0;

	(void)uplink;
	require(packet->source.v6 ? place_of_guest6(&place, &packet->source.of.v6_)
				  : place_of_guest(&place, packet->source.of.v4));
	require(place == MACHINE);
}

static void hold(struct uplink *uplink, bool held)
{
	(void)uplink, (void)held;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gateway_ways ways = {
		.deliver = deliver, .allows = allows, .resolve = resolve, .has = has, .pass = pass};
	static const struct uplink_type type = {.send = swallow, .hold = hold};
	const struct gateway_options options = {.place = MACHINE, .host_access = true, .ways = &ways};
	struct uplink outside = {.type = &type}, other = {.type = &type};
	bool first = true;

	place_hardware(own, MACHINE);
	require(gateway_new(&gateway, &options, NULL) == 0);
	gateway_set_outside(gateway, &outside);
	gateway_set_host(gateway, &other, &other);
	while (size >= 2) {
		size_t length = (size_t)(data[0] << 8 | data[1]);

		length = length > size - 2 ? size - 2 : length;
		gateway_take(gateway, data + 2, length);
		gateway_give(gateway, data + 2, length);
		if (!first)
			gateway_set_outside(gateway, NULL);
		gateway_set_outside(gateway, &outside);
		first = !first;
		gateway_settle(gateway);
		data += 2 + length;
		size -= 2 + length;
	}
	gateway_free(gateway);
	return 0;
}
