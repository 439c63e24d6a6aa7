#pragma once
#include "base/error.h"

#include "share/memory.h"
#include "share/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Messages of vhost-user (QEMU, docs/interop/vhost-user.rst): pure encoding and decoding, no I/O. Only requests of the
 * front end that belong to features offered here are known.
 */
#define VHOST_HEADER_SIZE        12
#define VHOST_TABLE_REGION_LIMIT 8                         /* in SET_MEM_TABLE, and descriptors in any message */
#define VHOST_CONFIG_LIMIT       256                       /* bytes of configuration space */
#define VHOST_PAYLOAD_LIMIT      (12 + VHOST_CONFIG_LIMIT) /* of the largest payload: CONFIG; a full table has 264 */
#define VHOST_QUEUE_LIMIT        64                        /* queues of a device */

/* Protocol features: bits. */
#define VHOST_F_PROTOCOL_FEATURES   30 /* among the device's features */
#define VHOST_PROTOCOL_MQ           0
#define VHOST_PROTOCOL_REPLY_ACK    3
#define VHOST_PROTOCOL_CONFIG       9
#define VHOST_PROTOCOL_MEMORY_SLOTS 15

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES,
	VHOST_SET_OWNER,
	VHOST_RESET_OWNER,
	VHOST_SET_MEM_TABLE,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR,
	VHOST_SET_VRING_BASE,
	VHOST_GET_VRING_BASE,
	VHOST_SET_VRING_KICK,
	VHOST_SET_VRING_CALL,
	VHOST_SET_VRING_ERR,
	VHOST_GET_PROTOCOL_FEATURES,
	VHOST_SET_PROTOCOL_FEATURES,
	VHOST_GET_QUEUE_NUM,
	VHOST_SET_VRING_ENABLE,
	VHOST_GET_CONFIG = 24,
	VHOST_SET_CONFIG,
	VHOST_GET_MAX_MEM_SLOTS = 36,
	VHOST_ADD_MEM_REG,
	VHOST_REM_MEM_REG,
	VHOST_REQUEST_END
};

struct vhost_state {
	uint32_t queue;
	uint32_t number;
};

struct vhost_file {
	uint32_t queue;
	bool present; /* one descriptor came with the message */
};

struct vhost_addresses {
	uint32_t queue;
	uint32_t flags; /* VHOST_VRING_F_LOG is not offered: 0 */
	struct ring_addresses ring;
};

struct vhost_table {
	uint32_t count;
	struct memory_region regions[VHOST_TABLE_REGION_LIMIT];
};

struct vhost_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t bytes[VHOST_CONFIG_LIMIT];
};

struct vhost_message {
	enum vhost_request request;
	bool need_reply; /* acknowledge it, if that was negotiated and it has no reply of its own */
	uint32_t size;   /* of the payload */
	union {          /* what vhost_payload_of() says */
		uint64_t number;
		struct vhost_state state;
		struct vhost_file file;
		struct vhost_addresses addresses;
		struct vhost_table table;
		struct memory_region region;
		struct vhost_config config;
	};
};

/* "SET_VRING_NUM" */
const char *vhost_request_name(enum vhost_request request);
/* Whether the protocol has a reply for it, whatever was negotiated. */
bool vhost_has_reply(enum vhost_request request);

/* Request, need_reply and size; a size that this request can't have is an error. */
MUST_USE int vhost_read_header(struct vhost_message *ret, const uint8_t bytes[VHOST_HEADER_SIZE],
			       struct annex_error **err);
/* The payload, message->size bytes, and how many descriptors came with the message. */
MUST_USE int vhost_read_payload(struct vhost_message *message, const uint8_t *bytes, unsigned descriptors,
				struct annex_error **err);

/* A reply to `message`, with what the kind of its payload has of it; GET_CONFIG's size 0 says that it failed. Returns
 * its size. `bytes` has room for VHOST_REPLY_LIMIT. */
#define VHOST_REPLY_LIMIT (VHOST_HEADER_SIZE + VHOST_PAYLOAD_LIMIT)
size_t vhost_write_reply(uint8_t *bytes, const struct vhost_message *message);
/* Success or failure of a request without a reply of its own. */
size_t vhost_write_acknowledgement(uint8_t *bytes, enum vhost_request request, bool success);
