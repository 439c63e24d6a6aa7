#include "network/inlet.h"

#include <arpa/inet.h>
#include <sys/socket.h>

struct inlet {
	int fd;
	uint16_t port;
	struct loop_source *source, *pause;
	const struct inlet_callbacks *callbacks;
	void *data;
};

/* One connection. -errno. */
static int take(const struct inlet *inlet)
{
	struct sockaddr_in client = {0};
	socklen_t size = sizeof(client);
	auto_close int fd = accept4(inlet->fd, (struct sockaddr *)&client, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return errno == ECONNABORTED || errno == EINTR ? 0 : -errno;
	if (inlet->callbacks->admits(client.sin_addr, ntohs(client.sin_port), inlet->data))
		inlet->callbacks->serve(TAKE_FD(fd), inlet->data);
	return 0;
}

static void on_ready(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct inlet *inlet = data;
	int result = take(inlet);

	(void)fd, (void)events;
	if (result == 0 || result == -EAGAIN)
		return;
	loop_source_watch(source, 0);
	loop_timer_restart(inlet->pause, INLET_PAUSE_MS);
}

static void on_pause(struct loop_source *source, void *data)
{
	const struct inlet *inlet = data;

	(void)source;
	loop_source_watch(inlet->source, EPOLLIN);
}

static int open_socket(struct inlet *inlet)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);

	inlet->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (inlet->fd < 0 || bind(inlet->fd, (struct sockaddr *)&address, size) < 0 ||
	    listen(inlet->fd, INLET_BACKLOG) < 0 || getsockname(inlet->fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	inlet->port = ntohs(address.sin_port);
	return 0;
}

int inlet_new(struct inlet **ret, struct loop *loop, const struct inlet_callbacks *callbacks, void *data,
	      struct annex_error **err)
{
	auto_inlet struct inlet *inlet = calloc(1, sizeof(*inlet));
	int result;

	if (!inlet)
		return fail_memory(err);
	inlet->callbacks = callbacks;
	inlet->data = data;
	result = open_socket(inlet);
	if (result == 0)
		result = loop_add_fd(&inlet->source, loop, inlet->fd, EPOLLIN, on_ready, inlet);
	if (result == 0)
		result = loop_add_timer(&inlet->pause, loop, INLET_PAUSE_MS, on_pause, inlet);
	if (result < 0)
		return fail_os(err, result, "cannot listen for connections to the resolver");
	*ret = TAKE(inlet);
	return 0;
}

void inlet_free(struct inlet *inlet)
{
	if (!inlet)
		return;
	loop_source_free(inlet->source);
	loop_source_free(inlet->pause);
	cleanup_close(&inlet->fd);
	free(inlet);
}

uint16_t inlet_port(const struct inlet *inlet)
{
	return inlet->port;
}
