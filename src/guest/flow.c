/*
 * An output is read only while the host has given credit for it and the link's queue has room: memory is bounded
 * whatever is written or not read, and a flow that stalls has no part in another's.
 *
 * Credit for input is given when it has been written to the program, or dropped, and collected up to a quarter of the
 * window: a message for each small write would cost more than the write.
 */
#include "guest/flow.h"

#include "guest/terminal.h"

#include <string.h>

enum { CREDIT_STEP = WIRE_WINDOW / 4, QUEUE_KEEP = 64 * 1024 };

static void close_watched(int *fd, struct loop_source **source)
{
	loop_source_free(*source);
	*source = NULL;
	cleanup_close(fd);
	*fd = -1;
}

bool output_is_open(const struct output *output)
{
	return output->fd >= 0;
}

bool output_is_stalled(const struct output *output)
{
	return output->fd >= 0 && !output->discarded && (output->credit == 0 || !link_has_room(output->link));
}

void output_resume(struct output *output)
{
	if (output->source)
		loop_source_watch(output->source, output->running && !output_is_stalled(output) ? EPOLLIN : 0);
}

void output_run(struct output *output)
{
	output->running = true;
	output_resume(output);
}

void output_discard(struct output *output)
{
	output->discarded = true;
	output_resume(output);
}

bool output_credit(struct output *output, uint32_t bytes)
{
	if (bytes > WIRE_WINDOW - output->credit)
		return false;
	output->credit += bytes;
	output_resume(output);
	return true;
}

void output_end(struct output *output, bool tell)
{
	if (output->fd < 0)
		return;
	close_watched(&output->fd, &output->source);
	if (tell)
		link_send_data(output->link, output->kind, output->stream, "", 0);
}

static void on_output(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct output *output = data;
	size_t size = output->credit < MESSAGE_DATA_MAX && !output->discarded ? output->credit : MESSAGE_DATA_MAX;
	char bytes[MESSAGE_DATA_MAX];
	ssize_t n;

	(void)source;
	(void)events;
	if (output_is_stalled(output)) {
		output_resume(output);
		return;
	}
	n = read(fd, bytes, size);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && output->discarded)
		return;
	if (n > 0) {
		link_send_data(output->link, output->kind, output->stream, bytes, (size_t)n);
		output->credit -= (uint32_t)n;
		output_resume(output);
	} else { /* a terminal that nobody has open any more says EIO */
		output_end(output, !output->discarded);
	}
	output->changed(output->data);
}

int output_open(struct output *output, struct loop *loop, int fd)
{
	output->fd = fd;
	return loop_add_fd(&output->source, loop, fd, 0, on_output, output);
}

static size_t waiting(const struct input *input)
{
	return input->queue.size - input->start;
}

static void give_credit(struct input *input, size_t bytes)
{
	input->due += (uint32_t)bytes;
	if (input->due < CREDIT_STEP)
		return;
	link_send(input->link, MESSAGE_CREDIT, input->stream,
		  &(struct message_credit){.channel = MESSAGE_INPUT, .bytes = input->due});
	input->due = 0;
}

void input_close(struct input *input)
{
	size_t dropped = waiting(input);

	close_watched(&input->fd, &input->source);
	text_clear(&input->queue);
	input->start = 0;
	input->awaited = false;
	give_credit(input, dropped);
}

/* How much the program takes at once; false: nobody reads any more. */
static bool write_some(struct input *input, const char *bytes, size_t size, size_t *ret_written)
{
	ssize_t n;

	*ret_written = 0;
	while (*ret_written < size) {
		n = write(input->fd, bytes + *ret_written, size - *ret_written);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		*ret_written += (size_t)n;
		input->last = bytes[*ret_written - 1];
	}
	return true;
}

static void flush(struct input *input)
{
	size_t written = 0;

	if (waiting(input) > 0) {
		bool read = write_some(input, input->queue.data + input->start, waiting(input), &written);

		input->start += written;
		give_credit(input, written);
		if (!read) {
			input_close(input);
			return;
		}
	}
	if (waiting(input) == 0) {
		if (input->queue.capacity > QUEUE_KEEP)
			text_clear(&input->queue);
		input->queue.size = input->start = 0;
		if (input->ended)
			close_watched(&input->fd, &input->source);
	}
	if (input->source)
		loop_source_watch(input->source, waiting(input) > 0 ? EPOLLOUT : 0);
}

static void on_input_room(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	flush(data);
}

bool input_put(struct input *input, const void *bytes, size_t size)
{
	size_t written = 0;

	if (input->ended || waiting(input) + input->due + size > WIRE_WINDOW)
		return false;
	if (input->fd < 0 && !input->awaited) {
		give_credit(input, size);
		return true;
	}
	if (input->fd >= 0 && waiting(input) == 0) {
		bool read = write_some(input, bytes, size, &written);

		give_credit(input, read ? written : size);
		if (!read)
			input_close(input);
		if (!read || written == size)
			return true;
	}
	if (input->start >= WIRE_WINDOW) { /* a reader that never quite catches up */
		memmove(input->queue.data, input->queue.data + input->start, waiting(input));
		input->queue.size -= input->start;
		input->start = 0;
	}
	text_add_bytes(&input->queue, (const char *)bytes + written, size - written);
	if (!text_ok(&input->queue))
		input_close(input);
	else if (input->fd >= 0)
		loop_source_watch(input->source, EPOLLOUT);
	return true;
}

/* A terminal's input is not closed: its end is typed. */
static void type_end(struct input *input)
{
	char last = waiting(input) > 0 ? input->queue.data[input->queue.size - 1] : input->last, key;
	size_t count = 0;

	key = terminal_end_of_input(input->terminal, &count, last);
	while (count-- > 0)
		text_add_char(&input->queue, key);
}

void input_finish(struct input *input)
{
	input->ended = true;
	if (input->fd < 0)
		return;
	if (input->terminal >= 0)
		type_end(input);
	flush(input);
}

int input_open(struct input *input, struct loop *loop, int fd)
{
	int result;

	input->fd = fd;
	input->awaited = false;
	result = loop_add_fd(&input->source, loop, fd, 0, on_input_room, input);
	if (result == 0 && input->ended)
		input_finish(input);
	else if (result == 0)
		flush(input);
	return result;
}
