#include "network/reserved.h"

#include "base/cleanup.h"

#include <string.h>

struct range {
	bool v6;
	uint8_t prefix;
	enum reserved kind;
	uint8_t bytes[16];
};

static const struct range ranges[] = {
	{false, 8, RESERVED_NEVER, {0}},                   /* "this host": Linux takes 0.0.0.0 for its loopback */
	{false, 8, RESERVED_NEVER, {127}},                 /* loopback */
	{false, 16, RESERVED_HOSTS, {169, 254}},           /* link-local; the metadata of most clouds */
	{false, 32, RESERVED_HOSTS, {168, 63, 129, 16}},   /* metadata: Azure */
	{false, 32, RESERVED_HOSTS, {100, 100, 100, 200}}, /* Alibaba */
	{false, 32, RESERVED_HOSTS, {192, 0, 0, 192}},     /* Oracle */
	{false, 16, RESERVED_NEVER, {198, 19}},            /* annex's own */
	{false, 4, RESERVED_NEVER, {224}},                 /* multicast */
	{false, 4, RESERVED_NEVER, {240}},                 /* reserved; broadcast */
	{true, 8, RESERVED_NEVER, {0}},           /* ::, ::1, IPv4-mapped and -compatible; NAT64 is seen to first */
	{true, 10, RESERVED_NEVER, {0xfe, 0x80}}, /* link-local: says nothing without an interface */
	{true, 8, RESERVED_NEVER, {0xff}},        /* multicast */
	{true, 64, RESERVED_NEVER, {0xfd, 0x61, 0x6e, 0x6e, 0x65, 0x78}},      /* annex's own */
	{true, 128, RESERVED_HOSTS, {0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54}}, /* metadata: Amazon */
	{true, 128, RESERVED_HOSTS, {0xfd, 0x20, 0, 0xce, [14] = 0x02, 0x54}}, /* Google */
};

/* Where an IPv6 address of a translator has its IPv4 address. */
struct embedding {
	uint8_t prefix, at;
	uint8_t inverted; /* 0xff: its bits are */
	uint8_t bytes[16];
};

static const struct embedding embeddings[] = {
	{96, 12, 0, {0x00, 0x64, 0xff, 0x9b}},             /* NAT64, RFC 6052 */
	{48, 12, 0, {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}}, /* NAT64 of a site, RFC 8215 */
	{16, 2, 0, {0x20, 0x02}},                          /* 6to4, RFC 3056 */
	{32, 12, 0xff, {0x20, 0x01, 0x00, 0x00}},          /* Teredo, RFC 4380 */
};

static const uint8_t *bytes_of(const struct packet_address *address)
{
	return address->v6 ? address->of.v6_.s6_addr : (const uint8_t *)&address->of.v4;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	return memcmp(a, b, bytes) == 0 && (rest == 0 || ((a[bytes] ^ b[bytes]) >> (8 - rest)) == 0);
}

bool address_within(const struct packet_address *address, const struct packet_address *network, unsigned prefix)
{
	return address->v6 == network->v6 && same_bits(bytes_of(address), bytes_of(network), prefix);
}

bool address_equal(const struct packet_address *a, const struct packet_address *b)
{
	return address_within(a, b, a->v6 ? 128 : 32);
}

static const struct embedding *find_embedding(const struct packet_address *address)
{
	for (size_t i = 0; address->v6 && i < COUNT_OF(embeddings); i++) {
		if (same_bits(bytes_of(address), embeddings[i].bytes, embeddings[i].prefix))
			return &embeddings[i];
	}
	return NULL;
}

bool reserved_embedded(struct packet_address *ret, const struct packet_address *address)
{
	const struct embedding *found = find_embedding(address);
	uint8_t bytes[4];

	if (!found)
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = bytes_of(address)[found->at + i] ^ found->inverted;
	*ret = (struct packet_address){0};
	memcpy(&ret->of.v4, bytes, sizeof(bytes));
	return true;
}

enum reserved reserved_network(const struct packet_address *address, unsigned prefix)
{
	const struct embedding *embedding = find_embedding(address);
	struct packet_address inner;

	if (embedding && prefix >= embedding->prefix) {
		unsigned start = embedding->at * 8u, bits = prefix < start ? 0 : prefix - start;

		if (!reserved_embedded(&inner, address))
			return RESERVED_NEVER;
		return reserved_network(&inner, bits > 32 ? 32 : bits);
	}
	for (size_t i = 0; i < COUNT_OF(ranges); i++) {
		if (ranges[i].v6 == address->v6 && prefix >= ranges[i].prefix &&
		    same_bits(bytes_of(address), ranges[i].bytes, ranges[i].prefix))
			return ranges[i].kind;
	}
	return RESERVED_NOT;
}

enum reserved reserved_address(const struct packet_address *address)
{
	return reserved_network(address, address->v6 ? 128 : 32);
}
