/*
 * Tables of classic inits start a getty on each terminal of the screen, and again and again where there is none. As in
 * other system containers they are pseudo-terminals. Nobody sits there: what is written to them is read and dropped, so
 * that no writer waits for a reader.
 */
#include "guest/terminals.h"

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <unistd.h>

struct terminal {
	int ours, theirs; /* open for good: reading a master whose terminal nobody has open fails */
	struct loop_source *source;
	char path[64];
};

struct terminals {
	struct terminal items[TERMINALS_COUNT];
};

static void on_written(struct loop_source *source, int fd, uint32_t events, void *data)
{
	char dropped[4096];

	(void)events;
	(void)data;
	if (read(fd, dropped, sizeof(dropped)) < 0 && errno != EAGAIN)
		loop_source_watch(source, 0);
}

static int make(struct terminal *terminal, struct loop *loop)
{
	if (openpty(&terminal->ours, &terminal->theirs, terminal->path, NULL, NULL) < 0 ||
	    fcntl(terminal->ours, F_SETFD, FD_CLOEXEC) < 0 || fcntl(terminal->theirs, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(terminal->ours, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return -errno;
	return loop_add_fd(&terminal->source, loop, terminal->ours, EPOLLIN, on_written, NULL);
}

int terminals_new(struct terminals **ret, struct loop *loop)
{
	struct terminals *terminals = calloc(1, sizeof(*terminals));
	int result = 0;

	if (!terminals)
		return -ENOMEM;
	for (size_t i = 0; i < TERMINALS_COUNT; i++)
		terminals->items[i] = (struct terminal){.ours = -1, .theirs = -1};
	for (size_t i = 0; i < TERMINALS_COUNT && result == 0; i++)
		result = make(&terminals->items[i], loop);
	if (result < 0) {
		terminals_free(terminals);
		return result;
	}
	*ret = terminals;
	return 0;
}

void terminals_free(struct terminals *terminals)
{
	for (size_t i = 0; terminals && i < TERMINALS_COUNT; i++) {
		loop_source_free(terminals->items[i].source);
		cleanup_close(&terminals->items[i].ours);
		cleanup_close(&terminals->items[i].theirs);
	}
	free(terminals);
}

const char *terminals_path(const struct terminals *terminals, unsigned index)
{
	return terminals && index < TERMINALS_COUNT ? terminals->items[index].path : NULL;
}
