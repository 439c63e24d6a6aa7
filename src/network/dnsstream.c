/*
 * Two streams on one socket, one for each direction: a peer that has closed its side has ended only the one. The end is
 * always told by the timer, which is the idle timer else: restarted whenever something is read, or an answer was taken
 * by the peer, so that one that neither asks nor reads is not kept.
 */
#include "network/dnsstream.h"

#include "loop/stream.h"
#include "network/dns.h"

#include <fcntl.h>
#include <string.h>

#define LENGTH    2u
#define WRITE_CAP ((size_t)DNS_PIPELINE_LIMIT * (LENGTH + DNS_MESSAGE_LIMIT))

struct dnsstream {
	const struct dnsstream_callbacks *callbacks;
	void *data;
	struct stream *in, *out;
	struct loop_source *timer;
	unsigned waiting; /* messages that are not answered yet */
	bool closed;      /* by the peer: it asks nothing more */
	bool over, taking;
};

static void end_soon(struct dnsstream *stream)
{
	stream->over = true;
	if (stream->in)
		stream_pause_reading(stream->in);
	loop_timer_restart(stream->timer, 0);
}

static void settle(struct dnsstream *stream)
{
	if (stream->over)
		return;
	if (stream->closed && stream->waiting == 0 && stream_queued(stream->out) == 0) {
		end_soon(stream);
		return;
	}
	/* A peer that does not read its answers may not ask for more. */
	if (stream->closed)
		return;
	if (stream->waiting >= DNS_PIPELINE_LIMIT || stream_queued(stream->out) > DNS_MESSAGE_LIMIT)
		stream_pause_reading(stream->in);
	else if (!stream->taking)
		stream_resume_reading(stream->in);
}

static size_t on_data(struct stream *in, const void *bytes_, size_t size, void *data)
{
	struct dnsstream *stream = data;
	const uint8_t *bytes = bytes_;
	size_t length = size < LENGTH ? 0 : (size_t)(bytes[0] << 8 | bytes[1]);

	(void)in;
	if (size < LENGTH || size < LENGTH + length || stream->over)
		return 0;
	loop_timer_restart(stream->timer, DNS_IDLE_MS);
	stream->waiting++;
	stream->taking = true;
	stream->callbacks->on_message(stream, bytes + LENGTH, length, stream->data);
	stream->taking = false;
	settle(stream);
	return LENGTH + length;
}

static void on_in_end(struct stream *in, int os, void *data)
{
	struct dnsstream *stream = data;

	(void)in;
	stream->closed = true;
	if (os != 0)
		end_soon(stream);
	else
		settle(stream);
}

static void on_out_end(struct stream *out, int os, void *data)
{
	(void)out;
	(void)os;
	end_soon(data);
}

static void on_drained(struct stream *out, void *data)
{
	struct dnsstream *stream = data;

	(void)out;
	if (!stream->over)
		loop_timer_restart(stream->timer, DNS_IDLE_MS);
	settle(stream);
}

static size_t on_nothing(struct stream *out, const void *bytes, size_t size, void *data)
{
	(void)out;
	(void)bytes;
	(void)data;
	return size;
}

/* The resolver has its own limit of how long an answer may take: longer than that, who waits for one is idle too. */
static void on_timer(struct loop_source *source, void *data)
{
	struct dnsstream *stream = data;

	(void)source;
	stream->over = true;
	stream->callbacks->on_end(stream, stream->data);
}

static int open_streams(struct dnsstream *stream, struct loop *loop, int fd)
{
	static const struct stream_callbacks in_callbacks = {.on_data = on_data, .on_end = on_in_end};
	static const struct stream_callbacks out_callbacks = {
		.on_data = on_nothing, .on_end = on_out_end, .on_drained = on_drained};
	struct stream_options in = {.fd_in = fd,
				    .fd_out = -1,
				    .callbacks = &in_callbacks,
				    .data = stream,
				    .read_cap = LENGTH + DNS_MESSAGE_LIMIT};
	struct stream_options out = {.fd_in = -1, .callbacks = &out_callbacks, .data = stream, .write_cap = WRITE_CAP};
	auto_close int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int result;

	if (copy < 0)
		return -errno;
	out.fd_out = copy;
	result = stream_new(&stream->out, loop, &out);
	if (result < 0)
		return result;
	(void)TAKE_FD(copy);
	/* The last: who gave the descriptor keeps it when this fails. */
	return stream_new(&stream->in, loop, &in);
}

int dnsstream_new(struct dnsstream **ret, struct loop *loop, int fd, const struct dnsstream_callbacks *callbacks,
		  void *data)
{
	struct dnsstream *stream = calloc(1, sizeof(*stream));
	int result;

	if (!stream)
		return -ENOMEM;
	stream->callbacks = callbacks;
	stream->data = data;
	result = loop_add_timer(&stream->timer, loop, DNS_IDLE_MS, on_timer, stream);
	if (result == 0)
		result = open_streams(stream, loop, fd);
	if (result < 0) {
		dnsstream_free(stream);
		return result;
	}
	*ret = stream;
	return 0;
}

void dnsstream_free(struct dnsstream *stream)
{
	if (!stream)
		return;
	stream_free(stream->in);
	stream_free(stream->out);
	loop_source_free(stream->timer);
	free(stream);
}

void dnsstream_reply(struct dnsstream *stream, const uint8_t *message, size_t size)
{
	uint8_t length[LENGTH] = {(uint8_t)(size >> 8), (uint8_t)size};

	stream->waiting--;
	if (!stream->over && message &&
	    (stream_write(stream->out, length, sizeof(length)) < 0 || stream_write(stream->out, message, size) < 0))
		end_soon(stream);
	else if (!stream->taking)
		settle(stream);
}
