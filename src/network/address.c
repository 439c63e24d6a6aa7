#include "network/address.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t prefix6[14] = {0xfd, 0x61, 0x6e, 0x6e, 0x65, 0x78};
static const uint8_t hardware[4] = {0x02, 0x61, 0x6e, 0x78};

#define HOST_NET  0x7f580000u /* 127.88.0.0 */
#define GUEST_NET 0xc6130000u /* 198.19.0.0 */

bool place_is_valid(uint32_t place)
{
	return place >= 0x100 && place < PLACE_OWN && (place & 0xff) != 0 && (place & 0xff) != 0xff;
}

struct in_addr place_host(uint32_t place)
{
	return (struct in_addr){htonl(HOST_NET | (place & 0xffff))};
}

struct in_addr place_guest(uint32_t place)
{
	return (struct in_addr){htonl(GUEST_NET | (place & 0xffff))};
}

struct in6_addr place_guest6(uint32_t place)
{
	struct in6_addr address = {0};

	memcpy(address.s6_addr, prefix6, sizeof(prefix6));
	address.s6_addr[14] = (uint8_t)(place >> 8);
	address.s6_addr[15] = (uint8_t)place;
	return address;
}

void place_hardware(uint8_t ret[6], uint32_t place)
{
	memcpy(ret, hardware, sizeof(hardware));
	ret[4] = (uint8_t)(place >> 8);
	ret[5] = (uint8_t)place;
}

static const char *text4(char buffer[ADDRESS_TEXT], struct in_addr address)
{
	return inet_ntop(AF_INET, &address, buffer, ADDRESS_TEXT);
}

const char *place_host_text(char buffer[ADDRESS_TEXT], uint32_t place)
{
	return text4(buffer, place_host(place));
}

const char *place_guest_text(char buffer[ADDRESS_TEXT], uint32_t place)
{
	return text4(buffer, place_guest(place));
}

const char *place_guest6_text(char buffer[ADDRESS_TEXT], uint32_t place)
{
	struct in6_addr address = place_guest6(place);

	return inet_ntop(AF_INET6, &address, buffer, ADDRESS_TEXT);
}

static bool place_of(uint32_t *ret, struct in_addr address, uint32_t net)
{
	uint32_t number = ntohl(address.s_addr);

	if ((number & 0xffff0000u) != net)
		return false;
	*ret = number & 0xffff;
	return true;
}

bool place_of_host(uint32_t *ret, struct in_addr address)
{
	return place_of(ret, address, HOST_NET);
}

bool place_of_guest(uint32_t *ret, struct in_addr address)
{
	return place_of(ret, address, GUEST_NET);
}

bool place_of_guest6(uint32_t *ret, const struct in6_addr *address)
{
	if (memcmp(address->s6_addr, prefix6, sizeof(prefix6)) != 0)
		return false;
	*ret = (uint32_t)(address->s6_addr[14] << 8 | address->s6_addr[15]);
	return true;
}

bool place_of_hardware(uint32_t *ret, const uint8_t address[6])
{
	if (memcmp(address, hardware, sizeof(hardware)) != 0)
		return false;
	*ret = (uint32_t)(address[4] << 8 | address[5]);
	return true;
}
