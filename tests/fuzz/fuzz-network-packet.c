/* A frame of a stranger: what is told of it lies within it, and what is answered to it is a packet again. */
#include "network/address.h"
#include "network/compose.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void check_answers(const struct packet *packet)
{
	static uint8_t answer[PACKET_MAX];
	const uint8_t from[6] = {2};
	struct packet_address source = {.v6 = packet->source.v6};
	struct packet again;
	size_t size = compose_prohibited(answer, packet, from, &source);

	require(size == 0 || (size <= packet->size + 48 && packet_parse(&again, answer, size)));
	size = compose_reset(answer, packet);
	require(size == 0 || (packet_parse(&again, answer, size) && again.protocol == IPPROTO_TCP));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet packet;

	if (!packet_parse(&packet, data, size))
		return 0;
	require(packet.frame == data && packet.size == size);
	require(packet.is_ip || (!packet.payload && packet.payload_size == 0));
	require(!packet.is_ip || (packet.payload > data && packet.payload <= data + size));
	require(packet.payload_size <= (size_t)(data + size - packet.payload) || !packet.is_ip);
	require(!packet.is_fragment || (packet.source_port == 0 && packet.destination_port == 0));
	if (packet.is_ip)
		check_answers(&packet);
	return 0;
}
