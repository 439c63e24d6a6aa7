/*
 * The device's own thread, the caller's, only hears the front end; workers serve the queues (share/queue.c says how).
 * One function for each request of the protocol, in a table.
 *
 * Two kinds of misbehaviour: what the front end does wrong ends the connection (or is refused, when it asked to hear of
 * it), for it is our own QEMU and nothing can be believed any more. What the guest does wrong, in a ring or a request,
 * stops all queues until its driver resets the device, which shows here as GET_VRING_BASE of each queue: a machine that
 * broke its device gets its files again by rebooting.
 *
 * Not offered: RESET_DEVICE and STATUS, since rings are stopped and started by messages of their own, which say all
 * that a device without state needs; logging and inflight tracking, since machines don't migrate.
 */
#include "share/device.h"

#include "base/log.h"
#include "share/frontend.h"
#include "share/queue.h"
#include "share/workers.h"

#include <linux/virtio_config.h>
#include <linux/virtio_fs.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define BIT(n) (UINT64_C(1) << (n))

#define FEATURES                                                                                     \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | \
	 BIT(VHOST_F_PROTOCOL_FEATURES))
#define PROTOCOL_FEATURES (BIT(VHOST_PROTOCOL_MQ) | BIT(VHOST_PROTOCOL_REPLY_ACK) | BIT(VHOST_PROTOCOL_MEMORY_SLOTS))

struct device {
	int socket;
	uint64_t features, protocol; /* negotiated */
	uint64_t offered;            /* protocol features */
	struct virtio_fs_config config;
	struct memory *memory;
	struct workers *workers;
	struct queue_server server;
	struct queue *queues[VHOST_QUEUE_LIMIT];
	unsigned queue_count;
	bool broken; /* it was told already; atomic */
};

static void on_broken(void *data, const struct annex_error *err)
{
	struct device *device = data;

	if (!__atomic_exchange_n(&device->broken, true, __ATOMIC_RELAXED))
		log_info("the guest broke its shared files: %s; they are back when it reboots",
			 annex_error_message(err));
	for (unsigned i = 0; i < device->queue_count; i++)
		queue_break(device->queues[i]);
}

/* The queue that a message is about, or NULL. */
static struct queue *find_queue(const struct device *device, uint32_t index, struct annex_error **err)
{
	if (index < device->queue_count)
		return device->queues[index];
	(void)fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: queue %u of %u", index, device->queue_count);
	return NULL;
}

static struct queue *find_stopped_queue(const struct device *device, uint32_t index, struct annex_error **err)
{
	struct queue *queue = find_queue(device, index, err);

	if (!queue || !queue_is_started(queue))
		return queue;
	(void)fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: queue %u is in use", index);
	return NULL;
}

typedef int handle_fn(struct device *device, struct frontend_message *message, struct annex_error **err);

static int get_features(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	(void)device, (void)err;
	message->message.number = FEATURES;
	return 0;
}

static int set_features(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	uint64_t features = message->message.number;

	if (features & ~FEATURES)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "vhost-user: features that were not offered");
	device->features = features;
	/* Without the protocol's features there are no messages to enable queues. */
	for (unsigned i = 0; i < device->queue_count && !(features & BIT(VHOST_F_PROTOCOL_FEATURES)); i++)
		queue_set_enabled(device->queues[i], true);
	return 0;
}

static int get_protocol_features(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	(void)err;
	message->message.number = device->offered;
	return 0;
}

static int set_protocol_features(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	if (message->message.number & ~device->offered)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "vhost-user: protocol features that were not offered");
	device->protocol = message->message.number;
	return 0;
}

static int get_queue_num(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	(void)err;
	message->message.number = device->queue_count;
	return 0;
}

static int set_owner(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	(void)device, (void)message, (void)err;
	return 0;
}

static int reset_owner(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	(void)message, (void)err;
	for (unsigned i = 0; i < device->queue_count; i++)
		queue_set_enabled(device->queues[i], false);
	return 0;
}

/* Takes the reference. */
static void use_memory(struct device *device, struct memory *memory)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		queue_set_memory(device->queues[i], memory);
	memory_unref(device->memory);
	device->memory = memory;
}

static int set_mem_table(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	const struct vhost_table *table = &message->message.table;
	auto_memory struct memory *memory = NULL;

	if (memory_new(&memory, err) < 0)
		return -1;
	for (uint32_t i = 0; i < table->count; i++) {
		struct memory *more;

		if (memory_with(&more, memory, &table->regions[i], message->fds[i], err) < 0)
			return -1;
		memory_unref(memory);
		memory = more;
	}
	use_memory(device, TAKE(memory));
	return 0;
}

static int get_max_mem_slots(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	(void)device, (void)err;
	message->message.number = MEMORY_REGION_LIMIT;
	return 0;
}

static int add_mem_reg(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct memory *memory;

	if (memory_with(&memory, device->memory, &message->message.region, message->fds[0], err) < 0)
		return -1;
	use_memory(device, memory);
	return 0;
}

static int rem_mem_reg(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct memory *memory;

	if (memory_without(&memory, device->memory, &message->message.region, err) < 0)
		return -1;
	use_memory(device, memory);
	return 0;
}

static int set_vring_num(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct queue *queue = find_stopped_queue(device, message->message.state.queue, err);

	if (!queue)
		return -1;
	if (!ring_is_size(message->message.state.number))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "vhost-user: a queue of %u entries",
			    message->message.state.number);
	queue_set_size(queue, message->message.state.number);
	return 0;
}

static int set_vring_base(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct queue *queue = find_stopped_queue(device, message->message.state.queue, err);

	if (!queue)
		return -1;
	if (message->message.state.number > UINT16_MAX)
		return fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: a queue's base is %u",
			    message->message.state.number);
	queue_set_base(queue, (uint16_t)message->message.state.number);
	return 0;
}

static int get_vring_base(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct queue *queue = find_queue(device, message->message.state.queue, err);

	if (!queue)
		return -1;
	message->message.state.number = queue_stop(queue);
	__atomic_store_n(&device->broken, false, __ATOMIC_RELAXED);
	return 0;
}

static int set_vring_addr(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct queue *queue = find_queue(device, message->message.addresses.queue, err);

	if (!queue)
		return -1;
	if (message->message.addresses.flags != 0)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "vhost-user: logging was not offered");
	queue_set_addresses(queue, &message->message.addresses.ring);
	return 0;
}

static int set_vring_enable(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct queue *queue = find_queue(device, message->message.state.queue, err);

	if (!queue)
		return -1;
	if (message->message.state.number > 1)
		return fail(err, ANNEX_ERROR_CORRUPT, "vhost-user: SET_VRING_ENABLE says %u",
			    message->message.state.number);
	queue_set_enabled(queue, message->message.state.number);
	return 0;
}

/* The message's descriptor, for the caller, or a negative number when it has none. */
static int take_file(struct frontend_message *message)
{
	return message->message.file.present ? TAKE_FD(message->fds[0]) : -EBADF;
}

/* The ring starts with its kick descriptor: looking once too early does no harm. */
static int set_vring_kick(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct queue *queue = find_queue(device, message->message.file.queue, err);

	if (!queue)
		return -1;
	if (!message->message.file.present)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "vhost-user: queues without kicks are not offered");
	if (queue_set_kick(queue, take_file(message), err) < 0)
		return -1;
	return queue_start(queue, device->features & BIT(VIRTIO_RING_F_EVENT_IDX),
			   device->features & BIT(VIRTIO_RING_F_INDIRECT_DESC), err);
}

static int set_vring_call(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct queue *queue = find_queue(device, message->message.file.queue, err);

	if (!queue)
		return -1;
	queue_set_call(queue, take_file(message));
	return 0;
}

static int set_vring_err(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct queue *queue = find_queue(device, message->message.file.queue, err);

	if (!queue)
		return -1;
	queue_set_error(queue, take_file(message));
	return 0;
}

static int get_config(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	struct vhost_config *config = &message->message.config;

	(void)err;
	if (config->offset > sizeof(device->config) || config->size > sizeof(device->config) - config->offset)
		config->size = 0;
	else
		memcpy(config->bytes, (const char *)&device->config + config->offset, config->size);
	return 0;
}

static int set_config(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	(void)device, (void)message;
	return fail(err, ANNEX_ERROR_UNSUPPORTED, "vhost-user: the configuration is read-only");
}

static handle_fn *const handlers[VHOST_REQUEST_END] = {
	[VHOST_GET_FEATURES] = get_features,
	[VHOST_SET_FEATURES] = set_features,
	[VHOST_SET_OWNER] = set_owner,
	[VHOST_RESET_OWNER] = reset_owner,
	[VHOST_SET_MEM_TABLE] = set_mem_table,
	[VHOST_SET_VRING_NUM] = set_vring_num,
	[VHOST_SET_VRING_ADDR] = set_vring_addr,
	[VHOST_SET_VRING_BASE] = set_vring_base,
	[VHOST_GET_VRING_BASE] = get_vring_base,
	[VHOST_SET_VRING_KICK] = set_vring_kick,
	[VHOST_SET_VRING_CALL] = set_vring_call,
	[VHOST_SET_VRING_ERR] = set_vring_err,
	[VHOST_GET_PROTOCOL_FEATURES] = get_protocol_features,
	[VHOST_SET_PROTOCOL_FEATURES] = set_protocol_features,
	[VHOST_GET_QUEUE_NUM] = get_queue_num,
	[VHOST_SET_VRING_ENABLE] = set_vring_enable,
	[VHOST_GET_CONFIG] = get_config,
	[VHOST_SET_CONFIG] = set_config,
	[VHOST_GET_MAX_MEM_SLOTS] = get_max_mem_slots,
	[VHOST_ADD_MEM_REG] = add_mem_reg,
	[VHOST_REM_MEM_REG] = rem_mem_reg,
};

static int answer(struct device *device, struct frontend_message *message, struct annex_error **err)
{
	const enum vhost_request request = message->message.request;
	bool acknowledge = message->message.need_reply && (device->protocol & BIT(VHOST_PROTOCOL_REPLY_ACK));
	bool replies = vhost_has_reply(request);
	uint8_t reply[VHOST_REPLY_LIMIT];
	auto_error struct annex_error *refusal = NULL;
	int handled = handlers[request](device, message, &refusal);

	if (handled < 0 && (replies || !acknowledge)) {
		if (err)
			*err = TAKE(refusal);
		return -1;
	}
	if (handled < 0)
		log_info("%s", annex_error_message(refusal));
	if (replies)
		return frontend_send(device->socket, reply, vhost_write_reply(reply, &message->message), err);
	if (acknowledge)
		return frontend_send(device->socket, reply, vhost_write_acknowledgement(reply, request, handled == 0),
				     err);
	return 0;
}

static int set_options(struct device *device, const struct device_options *options, struct annex_error **err)
{
	size_t tag = options->tag ? strlen(options->tag) : 1;

	if (tag == 0 || tag > sizeof(device->config.tag) || options->queues == 0 ||
	    options->queues >= VHOST_QUEUE_LIMIT || options->workers == 0 || options->workers > WORKERS_LIMIT)
		return fail(err, ANNEX_ERROR_USAGE, "a device with this tag or so many queues or workers");
	device->offered = PROTOCOL_FEATURES;
	if (options->tag) {
		device->offered |= BIT(VHOST_PROTOCOL_CONFIG);
		memcpy(device->config.tag, options->tag, tag);
	}
	device->config.num_request_queues = options->queues;
	return 0;
}

static int open_device(struct device *device, const struct device_options *options, struct annex_error **err)
{
	if (set_options(device, options, err) < 0)
		return -1;
	device->server = (struct queue_server){options->serve, options->data, on_broken, device};
	if (memory_new(&device->memory, err) < 0 || workers_new(&device->workers, err) < 0)
		return -1;
	while (device->queue_count < options->queues + 1) {
		/* The first is for what has no answer. */
		if (queue_new(&device->queues[device->queue_count], &device->server, workers_poll(device->workers),
			      device->queue_count == 0, err) < 0)
			return -1;
		device->queue_count++;
	}
	return workers_start(device->workers, options->workers, err);
}

static void close_device(struct device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		(void)queue_stop(device->queues[i]);
	workers_free(device->workers);
	for (unsigned i = 0; i < device->queue_count; i++)
		queue_free(device->queues[i]);
	memory_unref(device->memory);
}

int device_run(int socket, const struct device_options *options, struct annex_error **err)
{
	auto_close int owned = socket;
	CLEANUP(close_device) struct device device = {.socket = owned};
	int got;

	if (open_device(&device, options, err) < 0)
		return -1;
	do {
		auto_frontend_message struct frontend_message message = {.fd_count = 0};

		got = frontend_receive(&message, owned, err);
		if (got > 0 && answer(&device, &message, err) < 0)
			got = -1;
	} while (got > 0);
	return got;
}
