#pragma once
#include "loop/loop.h"

#include <stddef.h>

/*
 * A buffered, non-blocking stream of bytes over one or two descriptors, for framed protocols. Owns the descriptors.
 * Any callback may free the stream. SIGPIPE must be ignored where an output is not a socket.
 */
struct stream;

struct stream_callbacks {
	/* All bytes that wait; returns how many of them were used. Called again at once while bytes are left and some
	 * were used, else with more behind them. When `read_cap` bytes wait and none is used, the stream ends with
	 * EMSGSIZE. */
	size_t (*on_data)(struct stream *stream, const void *bytes, size_t size, void *data);
	/* The last callback, exactly once unless the stream is freed first: 0 when the peer closed its side or
	 * stream_close_when_drained() is done, else an errno. */
	void (*on_end)(struct stream *stream, int os, void *data);
	/* Everything is written, after some of a stream_write() had to wait. May be NULL. */
	void (*on_drained)(struct stream *stream, void *data);
};

struct stream_options {
	int fd_in;  /* -1: nothing is read */
	int fd_out; /* -1: nothing is written; may be fd_in. Not sockets: O_NONBLOCK is set on the open file */
	const struct stream_callbacks *callbacks;
	void *data;
	size_t read_cap;  /* the longest frame */
	size_t write_cap; /* bytes that may wait for a peer that does not read; 0: no limit */
};

/* Takes both descriptors on success. -errno. */
MUST_USE int stream_new(struct stream **ret, struct loop *loop, const struct stream_options *options);
void stream_free(struct stream *stream); /* drops what waits; closes */

/* All or nothing: -ENOBUFS past write_cap, -ENOMEM, -EPIPE when the stream has ended or closes. A failing write is told
 * by on_end(), never from inside this call. */
MUST_USE int stream_write(struct stream *stream, const void *bytes, size_t size);
size_t stream_queued(const struct stream *stream); /* bytes that wait to be written */

/* While paused nothing is read and on_data() is not called; not even the peer's end is noticed. */
void stream_pause_reading(struct stream *stream);
void stream_resume_reading(struct stream *stream);

/* Stop reading, write what waits, then on_end(). */
void stream_close_when_drained(struct stream *stream);
