/*
 * One message is taken per call of on_data(), so that the stream underneath looks after each of them whether its owner
 * paused or freed it. `scratch` holds one message on its way out and is kept, as most are of a similar size.
 */
#include "machine/channel.h"

#include "loop/stream.h"

enum { KEEP_SCRATCH = 128 * 1024 };

struct channel {
	struct stream *stream;
	struct message_reader reader;
	struct text scratch;
	const struct channel_callbacks *callbacks;
	void *data;
	bool broken; /* on_end() was called by us */
};

static size_t on_data(struct stream *stream, const void *bytes, size_t size, void *data)
{
	struct channel *channel = data;
	struct message message;
	size_t used = 0;

	(void)stream;
	if (channel->broken)
		return size;
	switch (message_read(&channel->reader, &message, bytes, size, &used)) {
	case FRAME_READY:
		channel->callbacks->on_message(channel, &message, channel->data);
		return used;
	case FRAME_NEED_MORE:
		return used;
	case FRAME_BROKEN:
		break;
	}
	channel->broken = true;
	channel->callbacks->on_end(channel, EPROTO, channel->data);
	return size;
}

static void on_end(struct stream *stream, int os, void *data)
{
	struct channel *channel = data;

	(void)stream;
	if (!channel->broken)
		channel->callbacks->on_end(channel, os, channel->data);
}

static void on_drained(struct stream *stream, void *data)
{
	struct channel *channel = data;

	(void)stream;
	if (!channel->broken && channel->callbacks->on_drained)
		channel->callbacks->on_drained(channel, channel->data);
}

static const struct stream_callbacks stream_callbacks = {on_data, on_end, on_drained};

int channel_new(struct channel **ret, struct loop *loop, int fd, const struct channel_callbacks *callbacks, void *data)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	int result;

	if (!channel)
		return -ENOMEM;
	channel->callbacks = callbacks;
	channel->data = data;
	result = stream_new(&channel->stream, loop,
			    &(struct stream_options){.fd_in = fd,
						     .fd_out = fd,
						     .callbacks = &stream_callbacks,
						     .data = channel,
						     .read_cap = FRAME_MAX});
	if (result < 0) {
		free(channel);
		return result;
	}
	*ret = channel;
	return 0;
}

void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	stream_free(channel->stream);
	message_reader_clear(&channel->reader);
	text_clear(&channel->scratch);
	free(channel);
}

static int send_scratch(struct channel *channel, int result)
{
	if (result == 0)
		result = channel->broken ? -EPIPE
					 : stream_write(channel->stream, channel->scratch.data, channel->scratch.size);
	channel->scratch.size = 0;
	if (channel->scratch.broken || channel->scratch.capacity > KEEP_SCRATCH)
		text_clear(&channel->scratch);
	return result;
}

int channel_put(struct channel *channel, enum message_kind kind, uint16_t stream, const void *body)
{
	return send_scratch(channel, message_put(&channel->scratch, kind, stream, body));
}

int channel_forward(struct channel *channel, enum message_kind kind, uint16_t stream, const void *payload, size_t size)
{
	return send_scratch(channel, message_forward(&channel->scratch, kind, stream, payload, size));
}

size_t channel_queued(const struct channel *channel)
{
	return stream_queued(channel->stream);
}

void channel_pause(struct channel *channel)
{
	stream_pause_reading(channel->stream);
}

void channel_resume(struct channel *channel)
{
	stream_resume_reading(channel->stream);
}

void channel_close_when_drained(struct channel *channel)
{
	stream_close_when_drained(channel->stream);
}
