/*
 * Each direction has one buffer: bytes are appended at its end and used from its start; it is moved together when room
 * is needed and given back when it has become empty after having been large. A readable event reads once (other sources
 * get their turn) and delivers.
 *
 * Things that can't be done where they are found out, because the caller does not expect a callback there (a write that
 * fails, bytes that wait when reading is resumed, closing with nothing queued), are left to `later`, a timer of 0 ms.
 *
 * A stream freed inside one of its callbacks is closed at once and released when the outermost callback has returned.
 */
#include "loop/stream.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { READ_AT_ONCE = 1 << 16, KEEP_CAPACITY = 1 << 18, PAGE = 4096 };

struct buffer {
	char *data;
	size_t start, end, capacity;
};

struct stream {
	int fd_in, fd_out;
	bool in_is_socket, out_is_socket;
	struct loop_source *in, *out; /* the same when the descriptors are */
	struct loop_source *later;
	const struct stream_callbacks *callbacks;
	void *data;
	struct buffer read, write;
	size_t read_cap, write_cap;
	bool paused, closing, ended, freed;
	bool deliver_later;
	bool end_later;
	int end_os;
	unsigned depth; /* of callbacks */
};

static size_t buffer_size(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

static int buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t size = buffer_size(buffer), capacity = buffer->capacity ? buffer->capacity : 4096;
	char *grown;

	if (buffer->capacity - buffer->end >= more)
		return 0;
	if (buffer->start > 0) {
		memmove(buffer->data, buffer->data + buffer->start, size);
		buffer->start = 0;
		buffer->end = size;
	}
	if (buffer->capacity - buffer->end >= more)
		return 0;
	if (more > SIZE_MAX / 4 - size)
		return -ENOMEM;
	while (capacity < size + more)
		capacity *= 2;
	grown = realloc(buffer->data, capacity);
	if (!grown)
		return -ENOMEM;
	buffer->data = grown;
	buffer->capacity = capacity;
	return 0;
}

static void buffer_clear(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}

static void buffer_use(struct buffer *buffer, size_t size)
{
	buffer->start += size;
	assert(buffer->start <= buffer->end);
	if (buffer->start < buffer->end)
		return;
	buffer->start = buffer->end = 0;
	if (buffer->capacity > KEEP_CAPACITY)
		buffer_clear(buffer);
}

static void update_watch(struct stream *stream)
{
	uint32_t in = stream->paused || stream->closing || stream->ended ? 0 : EPOLLIN;
	uint32_t out = stream->ended || buffer_size(&stream->write) == 0 ? 0 : EPOLLOUT;

	if (stream->freed)
		return;
	if (stream->in && stream->in == stream->out) {
		loop_source_watch(stream->in, in | out);
		return;
	}
	if (stream->in)
		loop_source_watch(stream->in, in);
	if (stream->out)
		loop_source_watch(stream->out, out);
}

static void enter(struct stream *stream)
{
	stream->depth++;
}

/* False: the stream is gone. */
static bool leave(struct stream *stream)
{
	if (--stream->depth > 0 || !stream->freed)
		return !stream->freed;
	buffer_clear(&stream->read);
	buffer_clear(&stream->write);
	free(stream);
	return false;
}

static void do_later(struct stream *stream)
{
	if (!stream->freed)
		loop_timer_restart(stream->later, 0);
}

static void end_later(struct stream *stream, int os)
{
	if (stream->ended || stream->end_later)
		return;
	stream->end_later = true;
	stream->end_os = os;
	do_later(stream);
}

static void end(struct stream *stream, int os)
{
	if (stream->ended || stream->freed)
		return;
	stream->ended = true;
	update_watch(stream);
	stream->callbacks->on_end(stream, os, stream->data);
}

static void deliver(struct stream *stream)
{
	size_t used = 1;

	stream->deliver_later = false;
	while (used > 0 && buffer_size(&stream->read) > 0) {
		if (stream->freed || stream->paused || stream->closing || stream->ended)
			return;
		used = stream->callbacks->on_data(stream, stream->read.data + stream->read.start,
						  buffer_size(&stream->read), stream->data);
		if (stream->freed)
			return;
		buffer_use(&stream->read, used);
	}
	if (!stream->paused && !stream->closing && buffer_size(&stream->read) >= stream->read_cap)
		end(stream, EMSGSIZE);
}

/* What isn't a socket may give no more to one read() than one of its buffers: a virtio port's are pages. Many of those
 * are read by one call when each has a piece of the vector. */
static ssize_t read_pages(int fd, char *bytes, size_t size)
{
	struct iovec pages[READ_AT_ONCE / PAGE];
	size_t count = 0;

	for (; size > 0 && count < COUNT_OF(pages); count++) {
		size_t piece = size < PAGE ? size : PAGE;

		pages[count] = (struct iovec){bytes, piece};
		bytes += piece;
		size -= piece;
	}
	return readv(fd, pages, (int)count);
}

static void read_once(struct stream *stream)
{
	size_t room = stream->read_cap - buffer_size(&stream->read);
	ssize_t n;

	room = room < READ_AT_ONCE ? room : READ_AT_ONCE;
	if (room == 0)
		return;
	if (buffer_reserve(&stream->read, room) < 0) {
		end(stream, ENOMEM);
		return;
	}
	do {
		n = stream->in_is_socket ? recv(stream->fd_in, stream->read.data + stream->read.end, room, MSG_DONTWAIT)
					 : read_pages(stream->fd_in, stream->read.data + stream->read.end, room);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		end(stream, n < 0 ? errno : 0);
		return;
	}
	stream->read.end += (size_t)n;
	deliver(stream);
}

/* How many were written, 0 when it would block, or -errno. */
static ssize_t write_some(struct stream *stream, const void *bytes, size_t size)
{
	ssize_t n;

	do {
		n = stream->out_is_socket ? send(stream->fd_out, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL)
					  : write(stream->fd_out, bytes, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	return n;
}

static void write_queued(struct stream *stream)
{
	ssize_t n;

	if (buffer_size(&stream->write) == 0)
		return;
	n = write_some(stream, stream->write.data + stream->write.start, buffer_size(&stream->write));
	if (n < 0) {
		end(stream, (int)-n);
		return;
	}
	buffer_use(&stream->write, (size_t)n);
	if (buffer_size(&stream->write) > 0)
		return;
	update_watch(stream);
	if (stream->closing)
		end(stream, 0);
	else if (stream->callbacks->on_drained)
		stream->callbacks->on_drained(stream, stream->data);
}

static void on_ready(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct stream *stream = data;
	bool reads = source == stream->in && !stream->paused && !stream->closing;
	bool broken = events & (EPOLLHUP | EPOLLERR);

	(void)fd;
	enter(stream);
	if (source == stream->out && (events & EPOLLOUT || broken))
		write_queued(stream);
	if (reads && stream->deliver_later && !stream->freed && !stream->ended)
		deliver(stream);
	if (reads && (events & EPOLLIN || broken) && !stream->freed && !stream->ended && !stream->paused &&
	    !stream->closing)
		read_once(stream);
	leave(stream);
}

static void on_later(struct loop_source *source, void *data)
{
	struct stream *stream = data;

	(void)source;
	enter(stream);
	if (stream->deliver_later)
		deliver(stream);
	if (!stream->freed && stream->end_later)
		end(stream, stream->end_os);
	leave(stream);
}

/* Sockets take a flag per call; on anything else the open file has to be made non-blocking. */
static int prepare(bool *ret_socket, int fd)
{
	struct stat st;
	int flags;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_socket = S_ISSOCK(st.st_mode);
	if (*ret_socket || S_ISREG(st.st_mode))
		return 0;
	flags = fcntl(fd, F_GETFL);
	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int attach(struct stream *stream, struct loop *loop)
{
	int result = prepare(&stream->in_is_socket, stream->fd_in);

	if (result == 0)
		result = prepare(&stream->out_is_socket, stream->fd_out);
	if (result == 0)
		result = loop_add_timer(&stream->later, loop, UINT64_MAX, on_later, stream);
	if (result == 0 && stream->fd_in >= 0)
		result = loop_add_fd(&stream->in, loop, stream->fd_in, EPOLLIN, on_ready, stream);
	if (result == 0 && stream->fd_out >= 0 && stream->fd_out == stream->fd_in)
		stream->out = stream->in;
	else if (result == 0 && stream->fd_out >= 0)
		result = loop_add_fd(&stream->out, loop, stream->fd_out, 0, on_ready, stream);
	return result;
}

static void detach(struct stream *stream)
{
	loop_source_free(stream->in);
	if (stream->out != stream->in)
		loop_source_free(stream->out);
	loop_source_free(stream->later);
}

int stream_new(struct stream **ret, struct loop *loop, const struct stream_options *options)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int result;

	if (!stream)
		return -ENOMEM;
	assert(options->read_cap > 0 || options->fd_in < 0);
	*stream = (struct stream){.fd_in = options->fd_in,
				  .fd_out = options->fd_out,
				  .callbacks = options->callbacks,
				  .data = options->data,
				  .read_cap = options->read_cap,
				  .write_cap = options->write_cap};
	result = attach(stream, loop);
	if (result < 0) {
		detach(stream);
		free(stream);
		return result;
	}
	*ret = stream;
	return 0;
}

void stream_free(struct stream *stream)
{
	if (!stream)
		return;
	assert(!stream->freed);
	detach(stream);
	if (stream->fd_out != stream->fd_in)
		cleanup_close(&stream->fd_out);
	cleanup_close(&stream->fd_in);
	stream->freed = true;
	enter(stream);
	leave(stream);
}

int stream_write(struct stream *stream, const void *bytes, size_t size)
{
	size_t queued = buffer_size(&stream->write);
	ssize_t n = 0;
	int result;

	if (stream->ended || stream->end_later || stream->closing || stream->fd_out < 0)
		return -EPIPE;
	if (stream->write_cap > 0 && (size > stream->write_cap || queued > stream->write_cap - size))
		return -ENOBUFS;
	result = buffer_reserve(&stream->write, size);
	if (result < 0)
		return result;
	if (queued == 0 && size > 0)
		n = write_some(stream, bytes, size);
	if (n < 0) {
		end_later(stream, (int)-n);
		return 0;
	}
	if ((size_t)n < size) {
		memcpy(stream->write.data + stream->write.end, (const char *)bytes + n, size - (size_t)n);
		stream->write.end += size - (size_t)n;
	}
	update_watch(stream);
	return 0;
}

size_t stream_queued(const struct stream *stream)
{
	return buffer_size(&stream->write);
}

void stream_pause_reading(struct stream *stream)
{
	stream->paused = true;
	update_watch(stream);
}

void stream_resume_reading(struct stream *stream)
{
	if (!stream->paused)
		return;
	stream->paused = false;
	update_watch(stream);
	if (buffer_size(&stream->read) > 0) {
		stream->deliver_later = true;
		do_later(stream);
	}
}

void stream_close_when_drained(struct stream *stream)
{
	if (stream->ended)
		return;
	stream->closing = true;
	update_watch(stream);
	if (buffer_size(&stream->write) == 0)
		end_later(stream, 0);
}
