/* What comes from a socket of the network: the first byte says how long the sender's name is, which is followed by the
 * frame. What is taken is from who it says it is. */
#include "network/address.h"
#include "network/switch.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct packet packet = {0};
	uint32_t from = 0x0401, found = 0;
	size_t length;

	if (size < 1)
		return 0;
	length = data[0] % (sizeof(address.sun_path) + 1);
	length = length < size - 1 ? length : size - 1;
	memcpy(address.sun_path, data + 1, length);
	if (switch_sender(&from, "default", &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)))
		require(place_is_valid(from));
	data += 1 + length;
	size -= 1 + length;
	if (!switch_accepts(&packet, 0x0307, from, data, size))
		return 0;
	require(packet.size <= size && packet.frame == data && place_of_hardware(&found, packet.from) && found == from);
	require(packet.payload >= data && packet.payload + packet.payload_size <= data + size);
	return 0;
}
