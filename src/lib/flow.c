/*
 * The descriptor is somebody else's: often the terminal, or a pipe that the user's shell and other programs share with
 * us. O_NONBLOCK belongs to the open file, not to the descriptor, so setting it would change it under them (and stay
 * when we are killed). Opening /proc/self/fd/N anew needs permissions we may not have, and does not work for sockets.
 * So what can be written without blocking depends on what it is:
 *
 * - a socket takes MSG_DONTWAIT;
 * - a regular file never blocks for long;
 * - a pipe that polls as writable takes at least PIPE_BUF (4096) bytes, and a terminal that does so takes them as long
 *   as anything reads it; so we poll before each piece of that size. Another writer to the same pipe can come between;
 *   then we block until its reader reads, as every program would.
 *
 * SIGPIPE is left as the program has it. By default a closed pipe thus ends the program, as it ends every other one in
 * a pipeline, and the session with it; where it is ignored, on_closed() tells.
 */
#include "lib/flow.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { PIECE = 4096 };

enum sink { SINK_NONE, SINK_SOCKET, SINK_FILE, SINK_PIECES };

struct flow {
	int fd; /* our copy: the same descriptor may be given for several flows, which epoll refuses */
	enum sink sink;
	struct loop_source *source;
	struct text waiting; /* of which `done` bytes are written */
	size_t done;
	const struct flow_callbacks *callbacks;
	void *data;
};

static void on_writable(struct loop_source *source, int fd, uint32_t events, void *data);

int flow_new(struct flow **ret, struct loop *loop, int fd, const struct flow_callbacks *callbacks, void *data)
{
	struct flow *flow = calloc(1, sizeof(*flow));
	struct stat st;
	int result = 0;

	if (!flow)
		return -ENOMEM;
	*flow = (struct flow){.fd = -1, .callbacks = callbacks, .data = data};
	if (fd >= 0) {
		flow->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (flow->fd < 0 || fstat(flow->fd, &st) < 0)
			result = -errno;
		else if (S_ISSOCK(st.st_mode))
			flow->sink = SINK_SOCKET;
		else
			flow->sink = S_ISREG(st.st_mode) ? SINK_FILE : SINK_PIECES;
		if (result == 0)
			result = loop_add_fd(&flow->source, loop, flow->fd, 0, on_writable, flow);
	}
	if (result < 0) {
		flow_free(flow);
		return result;
	}
	*ret = flow;
	return 0;
}

void flow_free(struct flow *flow)
{
	if (!flow)
		return;
	loop_source_free(flow->source);
	cleanup_close(&flow->fd);
	text_clear(&flow->waiting);
	free(flow);
}

/* How many bytes it took, 0 when it would block, or -errno. */
static ssize_t write_piece(struct flow *flow, const char *bytes, size_t size)
{
	struct pollfd poll_fd = {.fd = flow->fd, .events = POLLOUT};
	ssize_t n;

	if (flow->sink == SINK_PIECES) {
		if (poll(&poll_fd, 1, 0) <= 0)
			return 0;
		size = size < PIECE ? size : PIECE;
	}
	if (flow->sink == SINK_SOCKET)
		n = send(flow->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		n = write(flow->fd, bytes, size);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return n;
}

/* What is taken of these bytes; closed descriptors take all. */
static size_t write_now(struct flow *flow, const char *bytes, size_t size)
{
	size_t taken = 0;
	ssize_t n = 1;

	while (taken < size && n > 0 && flow->sink != SINK_NONE) {
		n = write_piece(flow, bytes + taken, size - taken);
		if (n > 0)
			taken += (size_t)n;
	}
	if (n < 0) {
		flow->sink = SINK_NONE;
		flow->callbacks->on_closed(flow, (int)-n, flow->data);
	}
	return flow->sink == SINK_NONE ? size : taken;
}

static void watch(struct flow *flow)
{
	if (flow->source)
		loop_source_watch(flow->source, flow->sink != SINK_NONE && flow->waiting.size > 0 ? EPOLLOUT : 0);
}

static void on_writable(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct flow *flow = data;
	size_t taken = write_now(flow, flow->waiting.data + flow->done, flow->waiting.size - flow->done);

	(void)source;
	(void)fd;
	(void)events;
	flow->done += taken;
	if (flow->done == flow->waiting.size)
		flow->done = flow->waiting.size = 0;
	watch(flow);
	if (taken > 0)
		flow->callbacks->on_passed(flow, (uint32_t)taken, flow->data);
}

int flow_add(struct flow *flow, const void *bytes, size_t size)
{
	size_t taken = 0;

	if (size > WIRE_WINDOW || flow->waiting.size - flow->done + size > WIRE_WINDOW)
		return -EPROTO;
	if (flow->waiting.size == 0)
		taken = write_now(flow, bytes, size);
	if (taken < size && flow->done > 0) {
		memmove(flow->waiting.data, flow->waiting.data + flow->done, flow->waiting.size - flow->done);
		flow->waiting.size -= flow->done;
		flow->done = 0;
	}
	text_add_bytes(&flow->waiting, (const char *)bytes + taken, size - taken);
	if (!text_ok(&flow->waiting))
		return -ENOMEM;
	watch(flow);
	if (taken > 0)
		flow->callbacks->on_passed(flow, (uint32_t)taken, flow->data);
	return 0;
}

bool flow_is_empty(const struct flow *flow)
{
	return flow->waiting.size == 0;
}
