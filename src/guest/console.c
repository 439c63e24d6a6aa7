/*
 * The agent keeps the terminal open too: without anybody who has it open, reading its other side fails, and between two
 * inits nobody else has. While the VM's console takes nothing more, nothing is read, and who writes to the terminal
 * waits as at any slow console; the agent does not.
 */
#include "guest/console.h"

#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <termios.h>

enum { CHUNK = 4096 };

struct console {
	int terminal, master, out;
	struct loop_source *in_source, *out_source;
	char path[64];
	char waiting[CHUNK];
	size_t start, end;
};

static void flush(struct console *console)
{
	while (console->start < console->end) {
		ssize_t n = write(console->out, console->waiting + console->start, console->end - console->start);

		if (n < 0 && errno != EAGAIN) {
			console->start = console->end; /* no console: what is said to it is lost */
			break;
		}
		if (n <= 0)
			break;
		console->start += (size_t)n;
	}
	loop_source_watch(console->in_source, console->start < console->end ? 0 : EPOLLIN);
	if (console->out_source)
		loop_source_watch(console->out_source, console->start < console->end ? EPOLLOUT : 0);
}

static void on_master(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct console *console = data;
	ssize_t n = read(fd, console->waiting, sizeof(console->waiting));

	(void)source;
	(void)events;
	console->start = 0;
	console->end = n > 0 ? (size_t)n : 0;
	flush(console);
}

static void on_out(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	flush(data);
}

/* The terminal has made lines end in \r\n already. */
static int open_out(void)
{
	int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct termios settings;

	if (fd >= 0 && tcgetattr(fd, &settings) == 0) {
		settings.c_oflag &= ~(tcflag_t)OPOST;
		tcsetattr(fd, TCSANOW, &settings);
	}
	return fd;
}

int console_new(struct console **ret, struct loop *loop, struct annex_error **err)
{
	struct console *console = calloc(1, sizeof(*console));
	int result = 0;

	if (!console)
		return fail_memory(err);
	*console = (struct console){.terminal = -1, .master = -1, .out = open_out()};
	if (openpty(&console->master, &console->terminal, console->path, NULL, NULL) < 0 ||
	    fcntl(console->master, F_SETFD, FD_CLOEXEC) < 0 || fcntl(console->terminal, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(console->master, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		result = -errno;
	if (result == 0)
		result = loop_add_fd(&console->in_source, loop, console->master, EPOLLIN, on_master, console);
	if (result == 0 && console->out >= 0)
		result = loop_add_fd(&console->out_source, loop, console->out, 0, on_out, console);
	if (result < 0) {
		console_free(console);
		return fail_os(err, result, "cannot make the console");
	}
	*ret = console;
	return 0;
}

void console_free(struct console *console)
{
	if (!console)
		return;
	loop_source_free(console->in_source);
	loop_source_free(console->out_source);
	cleanup_close(&console->terminal);
	cleanup_close(&console->master);
	cleanup_close(&console->out);
	free(console);
}

const char *console_path(const struct console *console)
{
	return console->path;
}
