/*
 * A stream may stop anywhere: what is there of a frame waits at the front of the buffer for the rest. A frame that
 * passt takes only a piece of has its rest queued, and all that come then behind it: whole, or not at all.
 */
#include "network/passt.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
	LENGTH = 4,
	ROOM = 256 << 10, /* of what is read: several of the largest frames */
	READS = 4,        /* in one turn of the loop */
};

struct passt {
	struct uplink uplink; /* first */
	int fd;
	struct loop_source *source;
	const struct passt_callbacks *callbacks;
	void *data;
	bool held, gone;
	bool *freed;  /* to be told when that happens inside a callback */
	uint8_t *out; /* what waits: from `out_at` on */
	size_t out_at, out_end;
	size_t in_end;
	uint8_t in[ROOM];
};

static void watch(struct passt *passt)
{
	loop_source_watch(passt->source, (passt->held ? 0 : (uint32_t)EPOLLIN) |
						 (passt->out_at < passt->out_end ? (uint32_t)EPOLLOUT : 0));
}

/* --- to passt --- */

static void enqueue(struct passt *passt, const uint8_t *bytes, size_t size)
{
	memcpy(passt->out + passt->out_end, bytes, size);
	passt->out_end += size;
}

/* How much of both was taken. */
static size_t send_parts(struct passt *passt, const uint8_t length[LENGTH], const uint8_t *frame, size_t size)
{
	struct iovec parts[2] = {{(void *)length, LENGTH}, {(void *)frame, size}};
	const struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t sent;

	do {
		sent = sendmsg(passt->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return (size_t)sent;
	/* That it has gone is told when it is read from. */
	return errno == EAGAIN ? 0 : LENGTH + size;
}

static void send_frame(struct uplink *uplink, const struct packet *packet)
{
	struct passt *passt = (struct passt *)uplink;
	const uint8_t length[LENGTH] = {(uint8_t)(packet->size >> 24), (uint8_t)(packet->size >> 16),
					(uint8_t)(packet->size >> 8), (uint8_t)packet->size};
	size_t waiting = passt->out_end - passt->out_at, sent = 0;

	if (passt->gone || waiting + LENGTH + packet->size > PASST_QUEUE_MAX)
		return;
	if (waiting == 0)
		sent = send_parts(passt, length, packet->frame, packet->size);
	if (sent == LENGTH + packet->size)
		return;
	if (!passt->out)
		passt->out = malloc(PASST_QUEUE_MAX);
	if (!passt->out && sent > 0)
		shutdown(passt->fd, SHUT_RDWR); /* the stream is broken: found out when it is read from */
	if (!passt->out)
		return;
	if (passt->out_end + LENGTH + packet->size > PASST_QUEUE_MAX) {
		memmove(passt->out, passt->out + passt->out_at, waiting);
		passt->out_at = 0;
		passt->out_end = waiting;
	}
	if (sent < LENGTH)
		enqueue(passt, length + sent, LENGTH - sent);
	sent = sent < LENGTH ? 0 : sent - LENGTH;
	enqueue(passt, packet->frame + sent, packet->size - sent);
	watch(passt);
}

static void flush(struct passt *passt)
{
	while (passt->out_at < passt->out_end) {
		ssize_t sent = send(passt->fd, passt->out + passt->out_at, passt->out_end - passt->out_at,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0)
			break;
		passt->out_at += (size_t)sent;
	}
	passt->out_at = passt->out_end = 0;
	watch(passt);
}

static void hold(struct uplink *uplink, bool hold)
{
	struct passt *passt = (struct passt *)uplink;

	passt->held = hold;
	if (!passt->gone)
		watch(passt);
}

/* --- from passt --- */

static size_t length_at(const uint8_t *at)
{
	return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

/* All that are whole. False: it does not speak so. */
static bool take_frames(struct passt *passt, const bool *freed)
{
	size_t at = 0;

	while (passt->in_end - at >= LENGTH) {
		size_t size = length_at(passt->in + at);

		if (size < PACKET_ETHERNET || size > PACKET_MAX)
			return false;
		if (passt->in_end - at < LENGTH + size)
			break;
		passt->callbacks->deliver(passt->in + at + LENGTH, size, passt->data);
		if (*freed)
			return true;
		at += LENGTH + size;
	}
	memmove(passt->in, passt->in + at, passt->in_end - at);
	passt->in_end -= at;
	return true;
}

static void end(struct passt *passt)
{
	passt->gone = true;
	loop_source_watch(passt->source, 0);
	passt->callbacks->on_gone(passt->data);
}

static void take(struct passt *passt)
{
	bool freed = false;

	passt->freed = &freed;
	for (unsigned i = 0; i < READS && !passt->held; i++) {
		ssize_t got = recv(passt->fd, passt->in + passt->in_end, ROOM - passt->in_end, MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (got > 0)
			passt->in_end += (size_t)got;
		if (got <= 0 || !take_frames(passt, &freed)) {
			passt->freed = NULL;
			end(passt);
			return;
		}
		if (freed)
			return;
	}
	passt->freed = NULL;
}

static void on_ready(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct passt *passt = data;

	(void)source, (void)fd;
	if (events & EPOLLOUT)
		flush(passt);
	/* Not held back for ever by a machine that takes nothing: its end is seen when it is read from again. */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !passt->held)
		take(passt);
	else if (events & (EPOLLHUP | EPOLLERR))
		end(passt);
}

static const struct uplink_type passt_type = {.send = send_frame, .hold = hold};

int passt_new(struct passt **ret, struct loop *loop, int fd, const struct passt_callbacks *callbacks, void *data)
{
	auto_passt struct passt *passt = calloc(1, sizeof(*passt));
	int result;

	if (!passt)
		return -ENOMEM;
	passt->uplink.type = &passt_type;
	passt->fd = -EBADF;
	passt->callbacks = callbacks;
	passt->data = data;
	result = loop_add_fd(&passt->source, loop, fd, EPOLLIN, on_ready, passt);
	if (result < 0)
		return result;
	passt->fd = fd;
	*ret = TAKE(passt);
	return 0;
}

void passt_free(struct passt *passt)
{
	if (!passt)
		return;
	if (passt->freed)
		*passt->freed = true;
	loop_source_free(passt->source);
	cleanup_close(&passt->fd);
	free(passt->out);
	free(passt);
}

struct uplink *passt_uplink(struct passt *passt)
{
	return &passt->uplink;
}
