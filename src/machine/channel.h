#pragma once
#include "loop/loop.h"
#include "wire/message.h"

/*
 * A stream of messages on a socket: the supervisor's ends of both links, and a session's in the library. Any callback
 * may free the channel.
 */
struct channel;

struct channel_callbacks {
	/* The payload is valid during the call. */
	void (*on_message)(struct channel *channel, const struct message *message, void *data);
	/* The last one: 0 when the peer closed, EPROTO when it sent what is no frame, else an errno. */
	void (*on_end)(struct channel *channel, int os, void *data);
	void (*on_drained)(struct channel *channel, void *data); /* what had to wait is written; may be NULL */
};

/* Takes the descriptor on success. -errno. */
MUST_USE int channel_new(struct channel **ret, struct loop *loop, int fd, const struct channel_callbacks *callbacks,
			 void *data);
void channel_free(struct channel *channel); /* NULL is allowed */

/* Failing sends: -EPIPE when the channel has ended, -EMSGSIZE, -ENOMEM. What the socket does not take waits. */
int channel_put(struct channel *channel, enum message_kind kind, uint16_t stream, const void *body);
int channel_forward(struct channel *channel, enum message_kind kind, uint16_t stream, const void *payload, size_t size);
size_t channel_queued(const struct channel *channel);

/* While paused no message is given out and the peer's end is not noticed. */
void channel_pause(struct channel *channel);
void channel_resume(struct channel *channel);
/* Give out no more messages, write what waits, then on_end(). */
void channel_close_when_drained(struct channel *channel);
