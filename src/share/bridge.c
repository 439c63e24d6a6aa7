/*
 * Who has a slot puts the request at its beginning and says how long it is, and how much room is left for the answer;
 * that comes right behind, and how long it is by the socket. While nobody asks, both sides sleep in the kernel; when
 * one dies, the other's socket says so.
 *
 * The memory has a size that nobody can change (sealed): or who makes it smaller would kill the other side.
 */
#include "share/bridge.h"

#include "confine/rights.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define ALIGNMENT 64u

struct ask {
	uint32_t size; /* of the request */
	uint32_t room; /* for the answer */
	uint32_t now;  /* share_request.now */
};

struct answer {
	int64_t result;
};

struct slot {
	char *memory;
	int socket;
	bool taken;
};

struct bridge {
	char *memory;
	unsigned count;
	struct slot slots[BRIDGE_SLOTS_LIMIT];
	pthread_mutex_t lock;
	pthread_cond_t freed;
};

static size_t answer_offset(size_t size)
{
	return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static int map(char **ret, int fd, unsigned slots, struct annex_error **err)
{
	size_t size = (size_t)slots * BRIDGE_SLOT_SIZE;
	struct stat st;
	void *memory;

	if (fstat(fd, &st) < 0)
		return fail_os(err, errno, "bridge");
	if (st.st_size < 0 || (size_t)st.st_size != size)
		return fail(err, ANNEX_ERROR_CORRUPT, "bridge: memory of a wrong size");
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return fail_os(err, errno, "bridge");
	*ret = memory;
	return 0;
}

static struct bridge *allocate(void)
{
	struct bridge *bridge = calloc(1, sizeof(*bridge));

	if (!bridge)
		return NULL;
	pthread_mutex_init(&bridge->lock, NULL);
	pthread_cond_init(&bridge->freed, NULL);
	return bridge;
}

int bridge_open(struct bridge **ret, const int *fds, unsigned count, struct annex_error **err)
{
	auto_bridge struct bridge *bridge = NULL;

	if (count < 2 || count > BRIDGE_FDS_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "bridge: %u descriptors", count);
	bridge = allocate();
	if (!bridge)
		return fail_memory(err);
	if (map(&bridge->memory, fds[0], count - 1, err) < 0)
		return -1;
	for (unsigned i = 0; i + 1 < count; i++) {
		struct slot *slot = &bridge->slots[i];

		slot->memory = bridge->memory + (size_t)i * BRIDGE_SLOT_SIZE;
		slot->socket = fcntl(fds[i + 1], F_DUPFD_CLOEXEC, 0);
		if (slot->socket < 0)
			return fail_os(err, errno, "bridge");
		bridge->count++;
	}
	*ret = TAKE(bridge);
	return 0;
}

void bridge_free(struct bridge *bridge)
{
	if (!bridge)
		return;
	for (unsigned i = 0; i < bridge->count; i++)
		cleanup_close(&bridge->slots[i].socket);
	if (bridge->memory)
		munmap(bridge->memory, (size_t)bridge->count * BRIDGE_SLOT_SIZE);
	pthread_cond_destroy(&bridge->freed);
	pthread_mutex_destroy(&bridge->lock);
	free(bridge);
}

static struct slot *take_slot(struct bridge *bridge)
{
	unsigned i;

	pthread_mutex_lock(&bridge->lock);
	for (;;) {
		for (i = 0; i < bridge->count && bridge->slots[i].taken; i++)
			;
		if (i < bridge->count)
			break;
		pthread_cond_wait(&bridge->freed, &bridge->lock);
	}
	bridge->slots[i].taken = true;
	pthread_mutex_unlock(&bridge->lock);
	return &bridge->slots[i];
}

static void give_slot(struct bridge *bridge, struct slot *slot)
{
	pthread_mutex_lock(&bridge->lock);
	slot->taken = false;
	pthread_cond_signal(&bridge->freed);
	pthread_mutex_unlock(&bridge->lock);
}

static size_t size_of(const struct iovec *parts, unsigned count)
{
	size_t size = 0;

	for (unsigned i = 0; i < count; i++)
		size += parts[i].iov_len;
	return size;
}

static void copy_in(char *to, const struct share_request *request)
{
	for (unsigned i = 0; i < request->in_count; i++) {
		memcpy(to, request->in[i].iov_base, request->in[i].iov_len);
		to += request->in[i].iov_len;
	}
}

static void copy_out(const struct share_request *request, const char *from, size_t size)
{
	for (unsigned i = 0; i < request->out_count && size > 0; i++) {
		size_t part = request->out[i].iov_len < size ? request->out[i].iov_len : size;

		memcpy(request->out[i].iov_base, from, part);
		from += part;
		size -= part;
	}
}

static ssize_t exchange(const struct slot *slot, const struct ask *ask)
{
	struct answer answer;
	unsigned none = 0;

	if (rights_send(slot->socket, ask, sizeof(*ask), NULL, 0, 0) != sizeof(*ask) ||
	    rights_receive(slot->socket, &answer, sizeof(answer), NULL, &none, 0, 0) != sizeof(answer))
		return -EIO;
	if (answer.result == -EAGAIN || answer.result == -EPROTO)
		return (ssize_t)answer.result;
	return answer.result < 0 || answer.result > ask->room ? -EIO : (ssize_t)answer.result;
}

ssize_t bridge_serve(struct bridge *bridge, const struct share_request *request)
{
	size_t size = size_of(request->in, request->in_count), room = size_of(request->out, request->out_count), left;
	struct slot *slot;
	struct ask ask;
	ssize_t result;

	if (size > BRIDGE_SLOT_SIZE)
		return -EPROTO;
	left = BRIDGE_SLOT_SIZE - answer_offset(size);
	ask = (struct ask){(uint32_t)size, (uint32_t)(room < left ? room : left), request->now};
	slot = take_slot(bridge);
	copy_in(slot->memory, request);
	result = exchange(slot, &ask);
	if (result > 0)
		copy_out(request, slot->memory + answer_offset(size), (size_t)result);
	give_slot(bridge, slot);
	return result;
}

/* --- who serves --- */

struct server {
	ssize_t (*serve)(struct share_request *request, void *data);
	void *data;
};

struct lane {
	const struct server *server;
	char *memory;
	int socket;
	pthread_t thread;
	bool broken;
};

static bool is_sound(const struct ask *ask)
{
	return ask->size <= BRIDGE_SLOT_SIZE && answer_offset(ask->size) <= BRIDGE_SLOT_SIZE &&
	       ask->room <= BRIDGE_SLOT_SIZE - answer_offset(ask->size);
}

static void *run_lane(void *data)
{
	struct lane *lane = data;
	struct ask ask;
	struct answer answer;

	for (;;) {
		unsigned none = 0;
		ssize_t got = rights_receive(lane->socket, &ask, sizeof(ask), NULL, &none, 0, 0);
		struct iovec in, out;
		struct share_request request = {.in = &in, .out = &out};

		lane->broken = got != 0 && got != -ECONNRESET && (got != sizeof(ask) || !is_sound(&ask));
		if (got <= 0 || lane->broken)
			return NULL;
		in = (struct iovec){lane->memory, ask.size};
		out = (struct iovec){lane->memory + answer_offset(ask.size), ask.room};
		request.in_count = ask.size > 0;
		request.out_count = ask.room > 0;
		request.now = ask.now != 0;
		answer.result = lane->server->serve(&request, lane->server->data);
		if (rights_send(lane->socket, &answer, sizeof(answer), NULL, 0, 0) < 0)
			return NULL;
	}
}

int bridge_run(const int *fds, unsigned count, ssize_t (*serve)(struct share_request *request, void *data), void *data,
	       struct annex_error **err)
{
	const struct server server = {serve, data};
	struct lane lanes[BRIDGE_SLOTS_LIMIT] = {0};
	unsigned started = 0;
	char *memory;
	bool broken = false;
	int os = 0;

	if (count < 2 || count > BRIDGE_FDS_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "bridge: %u descriptors", count);
	if (map(&memory, fds[0], count - 1, err) < 0)
		return -1;
	while (os == 0 && started + 1 < count) {
		lanes[started] = (struct lane){.server = &server,
					       .memory = memory + (size_t)started * BRIDGE_SLOT_SIZE,
					       .socket = fds[started + 1]};
		os = pthread_create(&lanes[started].thread, NULL, run_lane, &lanes[started]);
		started += os == 0;
	}
	for (unsigned i = 0; os != 0 && i < started; i++)
		shutdown(fds[i + 1], SHUT_RDWR);
	for (unsigned i = 0; i < started; i++) {
		pthread_join(lanes[i].thread, NULL);
		broken = broken || lanes[i].broken;
	}
	munmap(memory, (size_t)(count - 1) * BRIDGE_SLOT_SIZE);
	if (os != 0)
		return fail_os(err, os, "cannot start a thread");
	return broken ? fail(err, ANNEX_ERROR_CORRUPT, "bridge: a request that is none") : 0;
}
