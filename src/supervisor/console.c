/*
 * `tail` is a text of at most twice CONSOLE_TAIL_MAX, cut back to that from the front. What comes from a console is
 * bytes of any kind; only what is shown in errors is made printable, the log has it as it came.
 */
#include "supervisor/console.h"

#include "supervisor/journal.h"

#include <fcntl.h>
#include <string.h>

static const char panic_sign[] = "Kernel panic - not syncing: ";

struct console {
	int fd;
	struct loop_source *source;
	struct journal *log;
	struct text tail;
};

static void keep(struct console *console, const char *bytes, size_t size)
{
	struct text *tail = &console->tail;

	journal_write(console->log, 1, bytes, size);
	if (size > CONSOLE_TAIL_MAX) {
		bytes += size - CONSOLE_TAIL_MAX;
		size = CONSOLE_TAIL_MAX;
	}
	if (tail->size + size > (size_t)2 * CONSOLE_TAIL_MAX) {
		memmove(tail->data, tail->data + tail->size - CONSOLE_TAIL_MAX, CONSOLE_TAIL_MAX);
		tail->size = CONSOLE_TAIL_MAX;
	}
	text_add_bytes(tail, bytes, size);
}

/* False when there is no more for now. */
static bool read_some(struct console *console)
{
	char bytes[4096];
	ssize_t n = read(console->fd, bytes, sizeof(bytes));

	if (n > 0) {
		keep(console, bytes, (size_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	loop_source_free(TAKE(console->source));
	return false;
}

static void on_readable(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	read_some(data);
}

int console_new(struct console **ret, struct loop *loop, int fd, const struct machine_paths *paths,
		struct annex_error **err)
{
	struct console *console = calloc(1, sizeof(*console));
	auto_close int owned = fd;
	int flags, result;

	if (!console)
		return fail_memory(err);
	console->fd = TAKE_FD(owned);
	flags = fcntl(fd, F_GETFL);
	result = flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
	if (result == 0)
		result = loop_add_fd(&console->source, loop, fd, EPOLLIN, on_readable, console);
	if (result < 0) {
		console_free(console);
		return fail_os(err, result, "cannot watch the console");
	}
	if (journal_open(&console->log,
			 &(struct journal_options){.folder = paths->folder,
						   .name = MACHINE_CONSOLE_LOG,
						   .piece = JOURNAL_CONSOLE_PIECE,
						   .pieces = JOURNAL_CONSOLE_PIECES,
						   .keep_open = true},
			 err) < 0) {
		console_free(console);
		return -1;
	}
	*ret = console;
	return 0;
}

void console_free(struct console *console)
{
	if (!console)
		return;
	loop_source_free(console->source);
	cleanup_close(&console->fd);
	journal_close(console->log);
	text_clear(&console->tail);
	free(console);
}

void console_drain(struct console *console)
{
	while (console && console->source && read_some(console))
		;
}

/* Skips what a terminal would not show: escape sequences and control characters. */
static void add_printable(struct text *out, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == 0x1b) {
			if (i + 1 < size && bytes[i + 1] == '[') {
				for (i += 2; i < size && (bytes[i] < '@' || bytes[i] > '~'); i++)
					;
			}
		} else if (c == '\t') {
			text_add_char(out, ' ');
		} else if (c >= 0x20 && c < 0x7f) {
			text_add_char(out, (char)c);
		} else if (c >= 0x80) {
			text_add_char(out, '?');
		}
	}
}

/* Where it says that the kernel panicked, or NULL. */
static const char *find_panic(const struct console *console)
{
	return console->tail.size > 0
		       ? memmem(console->tail.data, console->tail.size, panic_sign, sizeof(panic_sign) - 1)
		       : NULL;
}

/* The end of the line. */
static const char *end_of(const struct console *console, const char *at)
{
	const char *end = console->tail.data + console->tail.size;
	const char *newline = memchr(at, '\n', (size_t)(end - at));

	return newline ? newline : end;
}

char *console_tail(const struct console *console, unsigned lines)
{
	struct text out = {0};
	const char *panic = find_panic(console), *start = console->tail.data;
	const char *end = panic ? end_of(console, panic) : start + console->tail.size, *at, *newline;
	size_t before;

	if (!start)
		return text_take(&out);
	at = end;
	while (at > start && (at[-1] == '\n' || at[-1] == '\r'))
		at--;
	end = at;
	for (; at > start; at--) {
		if (at[-1] == '\n' && --lines == 0)
			break;
	}
	for (; at < end; at = newline + 1) {
		newline = memchr(at, '\n', (size_t)(end - at));
		newline = newline ? newline : end;
		before = out.size;
		add_printable(&out, at, (size_t)(newline - at));
		if (out.size > before && newline < end)
			text_add(&out, " | ");
	}
	return text_take(&out);
}

static char *rest_of_line(const struct console *console, const char *at)
{
	struct text out = {0};

	add_printable(&out, at, (size_t)(end_of(console, at) - at));
	return text_take(&out);
}

char *console_panic(const struct console *console)
{
	const char *found = find_panic(console);

	return found ? rest_of_line(console, found + sizeof(panic_sign) - 1) : NULL;
}

char *console_agent(const struct console *console)
{
	static const char sign[] = "annex-guest: ";
	const char *found =
		console->tail.size > 0 ? memmem(console->tail.data, console->tail.size, sign, sizeof(sign) - 1) : NULL;

	return found ? rest_of_line(console, found + sizeof(sign) - 1) : NULL;
}
