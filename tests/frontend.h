#pragma once
/*
 * A machine without a machine: a front end that speaks vhost-user to device_run() in a thread, over a socket pair, with
 * memory in a memfd, and drivers of the device's queues. What serves does what the first byte of a request says.
 */
#include "driver.h"
#include "test.h"

#include "share/device.h"
#include "share/vhost.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define MIB      (1u << 20)
#define SIZE     (4 * MIB)
#define USER     0x7f1200000000u
#define LANES    4  /* queues */
#define RING     16 /* entries: two for each request */
#define SLOTS    (RING / 2)
#define PATIENCE 20000 /* ms; nothing takes that long */
#define BIT(n)   (UINT64_C(1) << (n))
#define SPARE    (3 * MIB) /* this last quarter comes and goes */
#define RESPONSE 64
#define TAG      "annex"

struct lane {
	struct driver driver;
	int kick, call, error;
	unsigned kicks;   /* that the device wanted */
	uint64_t buffers; /* SLOTS times 256 bytes: in, out */
};

struct machine {
	int socket, memory_fd;
	char *memory;
	struct lane lanes[LANES];
	unsigned workers;
	const char *tag;
	pthread_t thread;
	bool joined;
	struct annex_error *err;
	int device_socket, result;

	/* What serve() does and sees. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned waiting, released;
	unsigned served; /* atomic */
	unsigned held;   /* atomic: 'p' has to wait */
};

/* --- Who serves: the first byte of a request says what to do --- */

static inline size_t gather(uint8_t *to, size_t limit, const struct share_request *request)
{
	size_t size = 0;

	for (unsigned i = 0; i < request->in_count; i++) {
		size_t part = request->in[i].iov_len < limit - size ? request->in[i].iov_len : limit - size;

		memcpy(to + size, request->in[i].iov_base, part);
		size += part;
	}
	return size;
}

static inline void scatter(const struct share_request *request, const uint8_t *from, size_t size)
{
	for (unsigned i = 0; i < request->out_count && size > 0; i++) {
		size_t part = request->out[i].iov_len < size ? request->out[i].iov_len : size;

		memcpy(request->out[i].iov_base, from, part);
		from += part;
		size -= part;
	}
}

static inline void wait_for_release(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	machine->waiting++;
	pthread_cond_broadcast(&machine->changed);
	while (machine->released == 0)
		pthread_cond_wait(&machine->changed, &machine->lock);
	machine->waiting--;
	pthread_mutex_unlock(&machine->lock);
}

static inline ssize_t serve(struct share_request *request, void *data)
{
	struct machine *machine = data;
	uint8_t bytes[256] = {0};
	size_t size = gather(bytes, sizeof(bytes), request);

	__atomic_add_fetch(&machine->served, 1, __ATOMIC_RELAXED);
	if (bytes[0] == 'x')
		return -EPROTO;
	if (bytes[0] == 'f')
		return 0;
	if (bytes[0] == 'p' && __atomic_load_n(&machine->held, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	if (bytes[0] == 'w')
		wait_for_release(machine);
	for (size_t i = 0; i < size; i++)
		bytes[i]++;
	scatter(request, bytes, size);
	return (ssize_t)size;
}

static inline void wait_until_waiting(struct machine *machine, unsigned count)
{
	pthread_mutex_lock(&machine->lock);
	while (machine->waiting < count)
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
}

static inline void release(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	machine->released = 1;
	pthread_cond_broadcast(&machine->changed);
	pthread_mutex_unlock(&machine->lock);
}

/* From now on they wait again. */
static inline void hold_back(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	machine->released = 0;
	pthread_mutex_unlock(&machine->lock);
}

/* --- The front end --- */

static inline void send_with(const struct machine *machine, const void *bytes, size_t size, const int *fds,
			     unsigned fd_count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int[16]))] = {0};
	struct iovec part = {(void *)bytes, size};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count > 0) {
		struct cmsghdr *rights;

		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
	}
	assert_int_equal(sendmsg(machine->socket, &header, MSG_NOSIGNAL), size);
}

struct wire {
	uint32_t request, flags, size;
	uint8_t payload[VHOST_PAYLOAD_LIMIT + 64];
};

static inline void tell(const struct machine *machine, uint32_t request, uint32_t flags, const void *payload,
			uint32_t size, const int *fds, unsigned fd_count)
{
	struct wire wire = {request, 1 | flags, size, {0}};

	if (size > 0)
		memcpy(wire.payload, payload, size);
	send_with(machine, &wire, VHOST_HEADER_SIZE + size, fds, fd_count);
}

static inline uint32_t hear(const struct machine *machine, uint32_t request, void *payload, uint32_t limit)
{
	struct wire wire;

	assert_int_equal(recv(machine->socket, &wire, VHOST_HEADER_SIZE, MSG_WAITALL), VHOST_HEADER_SIZE);
	assert_int_equal(wire.request, request);
	assert_int_equal(wire.flags, 1 | 4);
	assert_in_range(wire.size, 0, limit);
	if (wire.size > 0)
		assert_int_equal(recv(machine->socket, payload, wire.size, MSG_WAITALL), wire.size);
	return wire.size;
}

static inline uint64_t ask(const struct machine *machine, uint32_t request)
{
	uint64_t number = 0;

	tell(machine, request, 0, NULL, 0, NULL, 0);
	assert_int_equal(hear(machine, request, &number, sizeof(number)), sizeof(number));
	return number;
}

/* Sends with need_reply; returns whether it was accepted. */
static inline bool order(const struct machine *machine, uint32_t request, const void *payload, uint32_t size,
			 const int *fds, unsigned fd_count)
{
	uint64_t number = 0;

	tell(machine, request, 8, payload, size, fds, fd_count);
	assert_int_equal(hear(machine, request, &number, sizeof(number)), sizeof(number));
	return number == 0;
}

static inline bool order_state(const struct machine *machine, uint32_t request, uint32_t queue, uint32_t number)
{
	return order(machine, request, (uint32_t[]){queue, number}, 8, NULL, 0);
}

static inline bool order_file(const struct machine *machine, uint32_t request, uint64_t queue, int fd)
{
	return order(machine, request, &queue, sizeof(queue), &fd, fd >= 0);
}

static inline void start_lane(const struct machine *machine, uint32_t queue, uint16_t base)
{
	const struct lane *lane = &machine->lanes[queue];
	const struct driver *driver = &lane->driver;
	struct {
		uint32_t queue, flags;
		uint64_t descriptors, used, available, log;
	} address = {
		queue,
		0,
		USER + driver_offset(driver, driver->vring.desc),
		USER + driver_offset(driver, driver->vring.used),
		USER + driver_offset(driver, driver->vring.avail),
		0,
	};

	assert_true(order_state(machine, VHOST_SET_VRING_NUM, queue, RING));
	assert_true(order_state(machine, VHOST_SET_VRING_BASE, queue, base));
	assert_true(order(machine, VHOST_SET_VRING_ADDR, &address, sizeof(address), NULL, 0));
	assert_true(order_file(machine, VHOST_SET_VRING_CALL, queue, lane->call));
	assert_true(order_file(machine, VHOST_SET_VRING_ERR, queue, lane->error));
	assert_true(order_file(machine, VHOST_SET_VRING_KICK, queue, lane->kick));
	assert_true(order_state(machine, VHOST_SET_VRING_ENABLE, queue, 1));
}

static const uint64_t main_region[] = {0, SPARE, USER, 0};
static const uint64_t spare_region[] = {SPARE, MIB, USER + SPARE, SPARE};

static inline bool change_region(const struct machine *machine, uint32_t request, const uint64_t region[4])
{
	uint64_t payload[5] = {0, region[0], region[1], region[2], region[3]};

	return order(machine, request, payload, sizeof(payload), &machine->memory_fd, request == VHOST_ADD_MEM_REG);
}

static inline bool set_table(const struct machine *machine)
{
	uint64_t payload[9] = {2};
	int fds[] = {machine->memory_fd, machine->memory_fd};

	memcpy(&payload[1], main_region, sizeof(main_region));
	memcpy(&payload[5], spare_region, sizeof(spare_region));
	return order(machine, VHOST_SET_MEM_TABLE, payload, sizeof(payload), fds, 2);
}

static inline void *run_device(void *data)
{
	struct machine *machine = data;
	const struct device_options options = {
		.queues = LANES - 1,
		.workers = machine->workers,
		.tag = machine->tag,
		.serve = serve,
		.data = machine,
	};

	machine->result = device_run(machine->device_socket, &options, &machine->err);
	return NULL;
}

/* Memory, queues and no device. */
static inline void open_machine(struct machine *machine)
{
	*machine = (struct machine){.socket = -1};
	pthread_mutex_init(&machine->lock, NULL);
	pthread_cond_init(&machine->changed, NULL);
	machine->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(machine->memory_fd, SIZE), 0);
	machine->memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, machine->memory_fd, 0);
	assert_ptr_not_equal(machine->memory, MAP_FAILED);
	for (unsigned i = 0; i < LANES; i++) {
		struct lane *lane = &machine->lanes[i];

		driver_open(&lane->driver, machine->memory, 65536 * (i + 1), RING, true);
		lane->buffers = MIB + 65536 * i;
		lane->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		lane->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		lane->error = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
}

/* The device runs; nothing was said yet. */
static inline void connect_device(struct machine *machine, unsigned workers, const char *tag)
{
	int pair[2];

	open_machine(machine);
	machine->workers = workers;
	machine->tag = tag;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	machine->socket = pair[0];
	machine->device_socket = pair[1];
	assert_int_equal(pthread_create(&machine->thread, NULL, run_device, machine), 0);
}

static inline void negotiate(const struct machine *machine)
{
	uint64_t features = ask(machine, VHOST_GET_FEATURES), protocol = ask(machine, VHOST_GET_PROTOCOL_FEATURES);

	tell(machine, VHOST_SET_PROTOCOL_FEATURES, 0, &protocol, sizeof(protocol), NULL, 0);
	assert_true(order(machine, VHOST_SET_OWNER, NULL, 0, NULL, 0));
	assert_true(order(machine, VHOST_SET_FEATURES, &features, sizeof(features), NULL, 0));
}

static inline void start_queues(const struct machine *machine)
{
	negotiate(machine);
	assert_true(set_table(machine));
	for (uint32_t i = 0; i < LANES; i++)
		start_lane(machine, i, 0);
}

static inline void start(struct machine *machine, unsigned workers)
{
	connect_device(machine, workers, TAG);
	start_queues(machine);
}

/* The device is another process. Takes the connection to it. */
static inline void start_with(struct machine *machine, int socket)
{
	open_machine(machine);
	machine->socket = socket;
	machine->joined = true; /* there is no thread to wait for */
	start_queues(machine);
}

/* Closes the connection, and returns how the device ended. */
static inline int stop(struct machine *machine)
{
	close(machine->socket);
	if (!machine->joined)
		pthread_join(machine->thread, NULL);
	for (unsigned i = 0; i < LANES; i++) {
		close(machine->lanes[i].kick);
		close(machine->lanes[i].call);
		close(machine->lanes[i].error);
	}
	munmap(machine->memory, SIZE);
	close(machine->memory_fd);
	pthread_cond_destroy(&machine->changed);
	pthread_mutex_destroy(&machine->lock);
	annex_error_free(machine->err);
	return machine->result;
}

/* --- The guest's driver --- */

static inline uint64_t slot_buffer(const struct lane *lane, unsigned slot)
{
	return lane->buffers + 256 * slot;
}

static inline void offer(const struct machine *machine, struct lane *lane, unsigned slot, const char *text)
{
	const uint64_t one = 1, buffer = slot_buffer(lane, slot);
	uint16_t head = (uint16_t)(2 * slot);

	strcpy(machine->memory + buffer, text);
	driver_describe(&lane->driver, head, buffer, (uint32_t)strlen(text), VRING_DESC_F_NEXT, (uint16_t)(head + 1));
	driver_describe(&lane->driver, head + 1u, buffer + 128, RESPONSE, VRING_DESC_F_WRITE, 0);
	if (!driver_offer(&lane->driver, head))
		return;
	lane->kicks++;
	assert_int_equal(write(lane->kick, &one, sizeof(one)), sizeof(one));
}

static inline bool is_readable(int fd, int timeout_ms)
{
	struct pollfd wanted = {.fd = fd, .events = POLLIN};

	return poll(&wanted, 1, timeout_ms) == 1;
}

/* Waits for the next answer; returns its slot. */
static inline unsigned collect(struct lane *lane, uint32_t *size)
{
	uint32_t head = 0;
	uint64_t count;

	while (!driver_collect(&lane->driver, &head, size)) {
		assert_true(is_readable(lane->call, PATIENCE));
		assert_int_equal(read(lane->call, &count, sizeof(count)), sizeof(count));
	}
	return head / 2;
}

/* In a tenth of a second; calls that mean nothing are allowed. */
static inline bool nothing_comes(struct lane *lane)
{
	uint32_t head, size;
	uint64_t count;

	while (!driver_collect(&lane->driver, &head, &size)) {
		if (!is_readable(lane->call, 100))
			return true;
		assert_int_equal(read(lane->call, &count, sizeof(count)), sizeof(count));
	}
	return false;
}

static inline void assert_answer(const struct machine *machine, struct lane *lane, const char *text)
{
	uint32_t size = 0;
	unsigned slot = collect(lane, &size);

	assert_int_equal(size, strlen(text));
	assert_memory_equal(machine->memory + slot_buffer(lane, slot) + 128, text, size);
}
