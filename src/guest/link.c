/*
 * virtio-serial tells by EPOLLHUP that the host's side is not open, for as long as it is not: watching for it by level
 * would spin. So while the host is away the port is watched edge-triggered (the driver wakes its pollers when the host
 * opens it), and while it is there a stream does the work, on a duplicate of the descriptor that it may close: the
 * driver allows the port to be opened only once, and the original keeps it ours.
 */
#include "guest/link.h"

#include "base/log.h"
#include "loop/stream.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

struct link {
	struct loop *loop;
	int fd;
	struct loop_source *away; /* while the host is */
	struct stream *stream;    /* while the host is there */
	struct message_reader reader;
	struct text frames; /* of the message that is being sent; kept for the memory it has */
	const struct link_callbacks *callbacks;
	void *data;
	bool broken;
};

static void disconnect(struct link *link)
{
	stream_free(link->stream);
	link->stream = NULL;
	message_reader_clear(&link->reader);
}

static void on_away_event(struct loop_source *source, int fd, uint32_t events, void *data);

static void wait_for_host(struct link *link)
{
	int result = loop_add_fd(&link->away, link->loop, link->fd, EPOLLIN | EPOLLOUT | EPOLLET, on_away_event, link);

	if (result < 0)
		log_info("cannot watch the control port: %s", strerror(-result));
}

static size_t on_data(struct stream *stream, const void *bytes, size_t size, void *data)
{
	struct link *link = data;
	struct message message;
	size_t used = 0;

	switch (message_read(&link->reader, &message, bytes, size, &used)) {
	case FRAME_READY:
		link->callbacks->on_message(&message, link->data);
		return link->stream == stream ? used : 0;
	case FRAME_NEED_MORE:
		return used;
	case FRAME_BROKEN:
		break;
	}
	link->broken = true;
	disconnect(link);
	link->callbacks->on_broken(link->data);
	return 0;
}

static void on_end(struct stream *stream, int os, void *data)
{
	struct link *link = data;

	(void)stream;
	log_debug("the host closed the control port (%s)", os ? strerror(os) : "end");
	disconnect(link);
	wait_for_host(link);
	link->callbacks->on_lost(link->data);
}

static void on_drained(struct stream *stream, void *data)
{
	struct link *link = data;

	(void)stream;
	link->callbacks->on_room(link->data);
}

static const struct stream_callbacks stream_callbacks = {on_data, on_end, on_drained};

static void connect_host(struct link *link)
{
	auto_close int copy = fcntl(link->fd, F_DUPFD_CLOEXEC, 3);
	int result = -errno;

	if (copy >= 0)
		result = stream_new(&link->stream, link->loop,
				    &(struct stream_options){.fd_in = copy,
							     .fd_out = copy,
							     .callbacks = &stream_callbacks,
							     .data = link,
							     .read_cap = (size_t)2 * FRAME_MAX,
							     .write_cap = LINK_QUEUE_MAX});
	if (result < 0) {
		log_info("cannot use the control port: %s", strerror(-result));
		wait_for_host(link);
		return;
	}
	(void)TAKE_FD(copy);
	link->callbacks->on_connect(link->data);
}

static void on_away_event(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct link *link = data;

	(void)fd;
	if (events & EPOLLHUP)
		return;
	loop_source_free(source);
	link->away = NULL;
	connect_host(link);
}

int link_new(struct link **ret, struct loop *loop, int fd, const struct link_callbacks *callbacks, void *data)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	*link = (struct link){.loop = loop, .fd = fd, .callbacks = callbacks, .data = data};
	wait_for_host(link);
	if (!link->away) {
		free(link);
		return -ENOMEM;
	}
	*ret = link;
	return 0;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	loop_source_free(link->away);
	disconnect(link);
	text_clear(&link->frames);
	cleanup_close(&link->fd);
	free(link);
}

/* `result` is that of putting a message into link->frames. */
static void write_frames(struct link *link, int result)
{
	if (result == 0 && link->stream)
		result = stream_write(link->stream, link->frames.data, link->frames.size);
	if (result < 0)
		log_info("a message to the host is lost: %s", strerror(-result));
	if (result < 0 || link->frames.capacity > (size_t)2 * FRAME_MAX)
		text_clear(&link->frames);
	link->frames.size = 0;
}

void link_send(struct link *link, enum message_kind kind, uint16_t stream, const void *body)
{
	write_frames(link, message_put(&link->frames, kind, stream, body));
}

void link_send_data(struct link *link, enum message_kind kind, uint16_t stream, const void *bytes, size_t size)
{
	write_frames(link, message_put_data(&link->frames, kind, stream, bytes, size));
}

void link_send_error(struct link *link, uint16_t stream, const struct annex_error *err)
{
	link_send(link, MESSAGE_FAILURE, stream,
		  &(struct message_failure){.kind = err ? annex_error_kind(err) : ANNEX_ERROR_GUEST,
					    .os = err ? (uint32_t)annex_error_errno(err) : 0,
					    .message = err ? annex_error_message(err) : "unknown error",
					    .hint = err ? annex_error_hint(err) : NULL});
}

bool link_has_room(const struct link *link)
{
	return link->stream && stream_queued(link->stream) < LINK_ROOM;
}

bool link_is_empty(const struct link *link)
{
	return !link->stream || stream_queued(link->stream) == 0;
}
