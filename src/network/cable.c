/*
 * A full socket tells EAGAIN, and EPOLLOUT once it is nearly empty again. QEMU stops reading while the machine has no
 * buffers for what comes: then all that is sent to it waits here. What the kernel refuses for other reasons (QEMU is
 * gone, or is not there yet; no memory) is lost, as on any cable.
 */
#include "network/cable.h"

#include "forward/socket.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct queued {
	struct queued *next;
	size_t size;
	uint8_t bytes[];
};

struct cable {
	int fd;
	struct loop_source *source;
	const struct cable_callbacks *callbacks;
	void *data;
	struct queued *first, **last;
	size_t waiting; /* bytes, with what each frame takes */
	bool full;
	uint8_t buffers[CABLE_BATCH][PACKET_MAX + 1];
};

/* --- to the machine --- */

static void tell_full(struct cable *cable, bool full)
{
	if (cable->full == full)
		return;
	cable->full = full;
	if (cable->callbacks->on_full)
		cable->callbacks->on_full(full, cable->data);
}

static void enqueue(struct cable *cable, const struct iovec parts[2])
{
	size_t size = parts[0].iov_len + parts[1].iov_len;
	struct queued *queued;

	if (cable->waiting + size + sizeof(*queued) > CABLE_QUEUE_MAX)
		return;
	queued = malloc(sizeof(*queued) + size);
	if (!queued)
		return;
	queued->next = NULL;
	queued->size = size;
	memcpy(queued->bytes, parts[0].iov_base, parts[0].iov_len);
	if (parts[1].iov_len > 0)
		memcpy(queued->bytes + parts[0].iov_len, parts[1].iov_base, parts[1].iov_len);
	*cable->last = queued;
	cable->last = &queued->next;
	cable->waiting += size + sizeof(*queued);
	loop_source_watch(cable->source, EPOLLIN | EPOLLOUT);
	if (cable->waiting > CABLE_QUEUE_FULL)
		tell_full(cable, true);
}

static void drop_first(struct cable *cable)
{
	struct queued *queued = cable->first;

	cable->first = queued->next;
	if (!cable->first)
		cable->last = &cable->first;
	cable->waiting -= queued->size + sizeof(*queued);
	free(queued);
}

/* False: there is no room. */
static bool send_parts(const struct cable *cable, struct iovec parts[2], size_t count)
{
	const struct msghdr header = {.msg_iov = parts, .msg_iovlen = count};
	ssize_t sent;

	do {
		sent = sendmsg(cable->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent >= 0 || errno != EAGAIN;
}

static void flush(struct cable *cable)
{
	while (cable->first) {
		struct iovec part[2] = {{cable->first->bytes, cable->first->size}};

		if (!send_parts(cable, part, 1))
			break;
		drop_first(cable);
	}
	if (!cable->first)
		loop_source_watch(cable->source, EPOLLIN);
	if (cable->waiting <= CABLE_QUEUE_FREE)
		tell_full(cable, false);
}

void cable_send(struct cable *cable, const uint8_t *header, size_t header_size, const uint8_t *rest, size_t size)
{
	struct iovec parts[2] = {{(void *)header, header_size}, {(void *)rest, size}};

	if (cable->first || !send_parts(cable, parts, COUNT_OF(parts)))
		enqueue(cable, parts);
}

/* --- from the machine --- */

static void take(struct cable *cable)
{
	struct iovec parts[CABLE_BATCH];
	struct mmsghdr headers[CABLE_BATCH];
	int count;

	for (unsigned i = 0; i < CABLE_BATCH; i++) {
		parts[i] = (struct iovec){cable->buffers[i], sizeof(cable->buffers[i])};
		headers[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
	}
	count = recvmmsg(cable->fd, headers, CABLE_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		cable->callbacks->on_frame(cable->buffers[i], headers[i].msg_len, cable->data);
	if (count > 0 && cable->callbacks->on_batch)
		cable->callbacks->on_batch(cable->data);
}

static void on_ready(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct cable *cable = data;

	(void)source, (void)fd;
	if (events & EPOLLOUT)
		flush(cable);
	if (events & (EPOLLIN | EPOLLERR))
		take(cable);
}

int cable_new(struct cable **ret, struct loop *loop, int fd, const struct cable_callbacks *callbacks, void *data)
{
	auto_cable struct cable *cable = calloc(1, sizeof(*cable));
	int result;

	if (!cable)
		return -ENOMEM;
	cable->fd = -EBADF;
	cable->callbacks = callbacks;
	cable->data = data;
	cable->last = &cable->first;
	socket_enlarge(fd);
	result = loop_add_fd(&cable->source, loop, fd, EPOLLIN, on_ready, cable);
	if (result < 0)
		return result;
	cable->fd = fd;
	*ret = TAKE(cable);
	return 0;
}

void cable_free(struct cable *cable)
{
	if (!cable)
		return;
	loop_source_free(cable->source);
	while (cable->first)
		drop_first(cable);
	cleanup_close(&cable->fd);
	free(cable);
}
