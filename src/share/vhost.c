/*
 * One row for each request says what its payload is and what is answered; sizes and descriptors follow from the
 * payload. All numbers are in the host's own order.
 */
#include "share/vhost.h"

#include <inttypes.h>
#include <string.h>

#define VERSION       1u
#define VERSION_MASK  3u
#define FLAG_REPLY    4u
#define FLAG_ACK      8u
#define FILE_QUEUE    0xffu
#define FILE_ABSENT   0x100u
#define REGION_SIZE   32u
#define TABLE_HEADER  8u
#define CONFIG_HEADER 12u

_Static_assert(TABLE_HEADER + VHOST_TABLE_REGION_LIMIT * REGION_SIZE <= VHOST_PAYLOAD_LIMIT, "a full table fits");

enum payload { NONE, NUMBER, STATE, ADDRESSES, FILE_OF, TABLE, REGION, CONFIG };

static const struct row {
	const char *name;
	enum payload payload;
	enum payload reply; /* NONE: an acknowledgement at most */
} rows[VHOST_REQUEST_END] = {
	[VHOST_GET_FEATURES] = {"GET_FEATURES", NONE, NUMBER},
	[VHOST_SET_FEATURES] = {"SET_FEATURES", NUMBER, NONE},
	[VHOST_SET_OWNER] = {"SET_OWNER", NONE, NONE},
	[VHOST_RESET_OWNER] = {"RESET_OWNER", NONE, NONE},
	[VHOST_SET_MEM_TABLE] = {"SET_MEM_TABLE", TABLE, NONE},
	[VHOST_SET_VRING_NUM] = {"SET_VRING_NUM", STATE, NONE},
	[VHOST_SET_VRING_ADDR] = {"SET_VRING_ADDR", ADDRESSES, NONE},
	[VHOST_SET_VRING_BASE] = {"SET_VRING_BASE", STATE, NONE},
	[VHOST_GET_VRING_BASE] = {"GET_VRING_BASE", STATE, STATE},
	[VHOST_SET_VRING_KICK] = {"SET_VRING_KICK", FILE_OF, NONE},
	[VHOST_SET_VRING_CALL] = {"SET_VRING_CALL", FILE_OF, NONE},
	[VHOST_SET_VRING_ERR] = {"SET_VRING_ERR", FILE_OF, NONE},
	[VHOST_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", NONE, NUMBER},
	[VHOST_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", NUMBER, NONE},
	[VHOST_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", NONE, NUMBER},
	[VHOST_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", STATE, NONE},
	[VHOST_GET_CONFIG] = {"GET_CONFIG", CONFIG, CONFIG},
	[VHOST_SET_CONFIG] = {"SET_CONFIG", CONFIG, NONE},
	[VHOST_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", NONE, NUMBER},
	[VHOST_ADD_MEM_REG] = {"ADD_MEM_REG", REGION, NONE},
	[VHOST_REM_MEM_REG] = {"REM_MEM_REG", REGION, NONE},
};

static const struct {
	uint32_t min;
	uint32_t max;
} sizes[] = {
	[NONE] = {0, 0},
	[NUMBER] = {8, 8},
	[STATE] = {8, 8},
	[ADDRESSES] = {40, 40},
	[FILE_OF] = {8, 8},
	[TABLE] = {TABLE_HEADER, TABLE_HEADER + VHOST_TABLE_REGION_LIMIT *REGION_SIZE},
	[REGION] = {8 + REGION_SIZE, 8 + REGION_SIZE},
	[CONFIG] = {CONFIG_HEADER, CONFIG_HEADER + VHOST_CONFIG_LIMIT},
};

static uint32_t get32(const uint8_t *bytes)
{
	uint32_t number;

	memcpy(&number, bytes, sizeof(number));
	return number;
}

static uint64_t get64(const uint8_t *bytes)
{
	uint64_t number;

	memcpy(&number, bytes, sizeof(number));
	return number;
}

static void put32(uint8_t *bytes, uint32_t number)
{
	memcpy(bytes, &number, sizeof(number));
}

const char *vhost_request_name(enum vhost_request request)
{
	return rows[request].name;
}

bool vhost_has_reply(enum vhost_request request)
{
	return rows[request].reply != NONE;
}

int vhost_read_header(struct vhost_message *ret, const uint8_t bytes[VHOST_HEADER_SIZE], struct annex_error **err)
{
	uint32_t request = get32(bytes), flags = get32(bytes + 4), size = get32(bytes + 8);

	if (request >= VHOST_REQUEST_END || !rows[request].name)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "vhost-user: request %" PRIu32 " is not known", request);
	if ((flags & VERSION_MASK) != VERSION || (flags & ~(VERSION_MASK | FLAG_ACK)) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: %s has flags %#" PRIx32, rows[request].name, flags);
	if (size < sizes[rows[request].payload].min || size > sizes[rows[request].payload].max)
		return fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: %s has %" PRIu32 " bytes", rows[request].name, size);
	*ret = (struct vhost_message){.request = request, .need_reply = flags & FLAG_ACK, .size = size};
	return 0;
}

static int bad(const struct vhost_message *message, const char *what, struct annex_error **err)
{
	return fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: %s %s", rows[message->request].name, what);
}

static struct memory_region get_region(const uint8_t *bytes)
{
	return (struct memory_region){
		.guest_address = get64(bytes),
		.size = get64(bytes + 8),
		.user_address = get64(bytes + 16),
		.offset = get64(bytes + 24),
	};
}

static int read_table(struct vhost_message *message, const uint8_t *bytes, struct annex_error **err)
{
	struct vhost_table table = {.count = get32(bytes)};

	if (table.count > VHOST_TABLE_REGION_LIMIT || message->size != TABLE_HEADER + table.count * REGION_SIZE)
		return bad(message, "has a count that is not its size's", err);
	for (uint32_t i = 0; i < table.count; i++)
		table.regions[i] = get_region(bytes + TABLE_HEADER + (size_t)i * REGION_SIZE);
	message->table = table;
	return 0;
}

static int read_config(struct vhost_message *message, const uint8_t *bytes, struct annex_error **err)
{
	struct vhost_config config = {get32(bytes), get32(bytes + 4), get32(bytes + 8), {0}};

	if (message->size != CONFIG_HEADER + (uint64_t)config.size)
		return bad(message, "has a size that is not its contents'", err);
	memcpy(config.bytes, bytes + CONFIG_HEADER, config.size);
	message->config = config;
	return 0;
}

static int read_file(struct vhost_message *message, const uint8_t *bytes, struct annex_error **err)
{
	uint64_t number = get64(bytes);

	if (number & ~(uint64_t)(FILE_QUEUE | FILE_ABSENT))
		return bad(message, "has unknown flags", err);
	message->file = (struct vhost_file){(uint32_t)(number & FILE_QUEUE), !(number & FILE_ABSENT)};
	return 0;
}

static int read_body(struct vhost_message *message, const uint8_t *bytes, struct annex_error **err)
{
	switch (rows[message->request].payload) {
	case NONE:
		return 0;
	case NUMBER:
		message->number = get64(bytes);
		return 0;
	case STATE:
		message->state = (struct vhost_state){get32(bytes), get32(bytes + 4)};
		return 0;
	case ADDRESSES:
		message->addresses = (struct vhost_addresses){
			get32(bytes),
			get32(bytes + 4),
			{.descriptors = get64(bytes + 8), .used = get64(bytes + 16), .available = get64(bytes + 24)},
		};
		return 0;
	case FILE_OF:
		return read_file(message, bytes, err);
	case TABLE:
		return read_table(message, bytes, err);
	case REGION:
		message->region = get_region(bytes + 8);
		return 0;
	case CONFIG:
		return read_config(message, bytes, err);
	}
	return bad(message, "has no known payload", err);
}

static bool descriptors_fit(const struct vhost_message *message, unsigned descriptors)
{
	switch (rows[message->request].payload) {
	case TABLE:
		return descriptors == message->table.count;
	case FILE_OF:
		return descriptors == message->file.present;
	case REGION: /* to remove one needs none, but some front ends send it */
		return descriptors == 1 || (descriptors == 0 && message->request == VHOST_REM_MEM_REG);
	default:
		return descriptors == 0;
	}
}

int vhost_read_payload(struct vhost_message *message, const uint8_t *bytes, unsigned descriptors,
		       struct annex_error **err)
{
	if (read_body(message, bytes, err) < 0)
		return -1;
	if (!descriptors_fit(message, descriptors))
		return bad(message, "came with a wrong number of descriptors", err);
	return 0;
}

static size_t write_header(uint8_t *bytes, enum vhost_request request, size_t size)
{
	put32(bytes, request);
	put32(bytes + 4, VERSION | FLAG_REPLY);
	put32(bytes + 8, (uint32_t)size);
	return VHOST_HEADER_SIZE + size;
}

size_t vhost_write_reply(uint8_t *bytes, const struct vhost_message *message)
{
	uint8_t *payload = bytes + VHOST_HEADER_SIZE;
	const struct vhost_config *config = &message->config;

	switch (rows[message->request].reply) {
	case STATE:
		put32(payload, message->state.queue);
		put32(payload + 4, message->state.number);
		return write_header(bytes, message->request, 8);
	case CONFIG:
		if (config->size == 0)
			return write_header(bytes, message->request, 0);
		put32(payload, config->offset);
		put32(payload + 4, config->size);
		put32(payload + 8, config->flags);
		memcpy(payload + CONFIG_HEADER, config->bytes, config->size);
		return write_header(bytes, message->request, CONFIG_HEADER + config->size);
	default:
		memcpy(payload, &message->number, sizeof(message->number));
		return write_header(bytes, message->request, sizeof(message->number));
	}
}

size_t vhost_write_acknowledgement(uint8_t *bytes, enum vhost_request request, bool success)
{
	uint64_t number = !success;

	memcpy(bytes + VHOST_HEADER_SIZE, &number, sizeof(number));
	return write_header(bytes, request, sizeof(number));
}
