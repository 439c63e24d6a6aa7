/*
 * Pieces are read one after the other. What a piece has when a newer one is known to be there is all that it will ever
 * have: so the pieces are listed first, then the present one is read to its end, and only then left. A log without a
 * number is one file that is begun anew in place.
 */
#include "lib/reader.h"

#include "base/file.h"
#include "base/time.h"

#include <fcntl.h>
#include <string.h>

enum { CHUNK = 65536, STAMP = 48 };

void reader_close(struct reader *reader)
{
	cleanup_close(&reader->fd);
	cleanup_close(&reader->times_fd);
	reader->fd = reader->times_fd = -1;
	piece_places_clear(&reader->places);
	reader->places_read = reader->offset = 0;
	reader->place = 0;
}

/* False: it is gone meanwhile. */
static bool open_piece(struct reader *reader, uint64_t number)
{
	auto_free char *data = piece_path(reader->folder, reader->name, number);
	auto_free char *times = piece_times_path(reader->folder, reader->name, number);

	reader_close(reader);
	reader->number = number;
	reader->begun = true;
	reader->fd = data ? open(data, O_RDONLY | O_CLOEXEC) : -1;
	reader->times_fd = times ? open(times, O_RDONLY | O_CLOEXEC) : -1;
	return reader->fd >= 0;
}

/* Looks for the beginning of the last lines in one piece: *left are still to be found. 1: it is at *ret. */
static int search_back(off_t *ret, int64_t *left, int fd, bool newest)
{
	off_t at = lseek(fd, 0, SEEK_END), size = at;
	auto_free char *chunk = malloc(CHUNK);

	if (at < 0)
		return -errno;
	if (!chunk)
		return -ENOMEM;
	while (at > 0) {
		size_t part = at < CHUNK ? (size_t)at : CHUNK;
		ssize_t n = pread(fd, chunk, part, at - (off_t)part);

		if (n != (ssize_t)part)
			return n < 0 ? -errno : -EIO;
		for (size_t i = part; i-- > 0;) {
			off_t place = at - (off_t)part + (off_t)i;

			/* The newline that ends the last line begins no further one. */
			if (chunk[i] != '\n' || (newest && place == size - 1))
				continue;
			if (--*left == 0) {
				*ret = place + 1;
				return 1;
			}
		}
		at -= (off_t)part;
	}
	return 0;
}

/* Go back from the newest piece until the lines are found. */
static int find_lines(struct reader *reader, const struct piece_list *list)
{
	int64_t left = reader->options.lines;
	bool newest = true;
	off_t at = 0;

	for (size_t i = list->count; i-- > 0;) {
		struct stat st;
		int result;

		if (!open_piece(reader, list->numbers[i]))
			continue;
		if (fstat(reader->fd, &st) < 0)
			return -errno;
		if (left == 0) {
			reader->offset = (uint64_t)st.st_size;
			return 0;
		}
		result = search_back(&at, &left, reader->fd, newest);
		if (result != 0) {
			reader->offset = (uint64_t)at;
			return result < 0 ? result : 0;
		}
		newest = newest && st.st_size == 0;
	}
	reader->offset = 0;
	return 0;
}

int reader_open(struct reader *reader)
{
	auto_piece_list struct piece_list list = {0};
	int result = piece_list_load(&list, reader->folder, reader->name);

	reader->fd = reader->times_fd = -1;
	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return result;
	if (reader->options.lines >= 0)
		return find_lines(reader, &list);
	for (size_t i = 0; i < list.count; i++) {
		if (open_piece(reader, list.numbers[i]))
			break;
	}
	return 0;
}

/* What has been written down of the piece since the last time. */
static int read_places(struct reader *reader)
{
	auto_free char *bytes = NULL;
	size_t used = 0;
	struct stat st;
	ssize_t n;

	if (reader->times_fd < 0 || fstat(reader->times_fd, &st) < 0 || (uint64_t)st.st_size <= reader->places_read ||
	    st.st_size > (off_t)PIECE_TIMES_MAX)
		return 0;
	bytes = malloc((size_t)st.st_size - reader->places_read);
	if (!bytes)
		return -ENOMEM;
	n = pread(reader->times_fd, bytes, (size_t)st.st_size - reader->places_read, (off_t)reader->places_read);
	if (n < 0)
		return -errno;
	n = piece_places_parse(&reader->places, &used, bytes, (size_t)n);
	reader->places_read += used;
	return (int)n;
}

/* The place of what is at the offset, or NULL; *ret_end: where the next one begins. */
static const struct piece_place *find_place(struct reader *reader, uint64_t *ret_end)
{
	const struct piece_places *places = &reader->places;

	while (reader->place + 1 < places->count && places->items[reader->place + 1].offset <= reader->offset)
		reader->place++;
	*ret_end = UINT64_MAX;
	if (places->count == 0)
		return NULL;
	if (places->items[reader->place].offset > reader->offset) {
		*ret_end = places->items[reader->place].offset;
		return NULL;
	}
	if (reader->place + 1 < places->count)
		*ret_end = places->items[reader->place + 1].offset;
	return &places->items[reader->place];
}

static void add_stamp(struct text *out, const struct piece_place *place)
{
	char stamp[TIME_BUFFER];

	if (!place) {
		text_add(out, "- ");
		return;
	}
	time_format(stamp, place->when_ms / 1000);
	stamp[strlen(stamp) - 1] = '\0'; /* its Z */
	text_printf(out, "%s.%03dZ ", stamp, (int)(place->when_ms % 1000));
}

static int write_out(struct reader *reader, size_t stream, const char *bytes, size_t size)
{
	int fd = stream == 1 ? reader->options.error_fd : reader->options.output_fd;
	int result = size == 0 || fd < 0 ? 0 : file_write_all(fd, bytes, size);

	reader->closed = reader->closed || result == -EPIPE;
	return result;
}

/* Bytes of one place. */
static int pass_on(struct reader *reader, const struct piece_place *place, const char *bytes, size_t size)
{
	size_t stream = reader->apart && place && place->stream == 2 ? 1 : 0;
	auto_text struct text lines = {0};
	const char *end;

	if (reader->options.since > 0 && (!place || place->when_ms / 1000 < reader->options.since))
		return 0;
	if (!reader->options.timestamps)
		return write_out(reader, stream, bytes, size);
	for (const char *at = bytes, *last = bytes + size; at < last; at = end) {
		end = memchr(at, '\n', (size_t)(last - at));
		end = end ? end + 1 : last;
		if (!reader->in_line[stream])
			add_stamp(&lines, place);
		text_add_bytes(&lines, at, (size_t)(end - at));
		reader->in_line[stream] = end[-1] != '\n';
	}
	return text_ok(&lines) ? write_out(reader, stream, lines.data, lines.size) : -ENOMEM;
}

static int copy_piece(struct reader *reader)
{
	auto_free char *chunk = malloc(CHUNK);
	int result = chunk ? 0 : -ENOMEM;

	while (result == 0) {
		ssize_t n = pread(reader->fd, chunk, CHUNK, (off_t)reader->offset);
		uint64_t start = reader->offset;

		if (n <= 0)
			return n < 0 ? -errno : 0;
		/* They were written before what was read just now. */
		result = read_places(reader);
		while (result == 0 && reader->offset < start + (uint64_t)n) {
			uint64_t end, all = start + (uint64_t)n;
			const struct piece_place *place = find_place(reader, &end);

			end = end < all ? end : all;
			result = pass_on(reader, place, chunk + (reader->offset - start),
					 (size_t)(end - reader->offset));
			reader->offset = end;
		}
	}
	return result;
}

/* The number behind the present one, PIECE_PLAIN being the newest; false: there is none. */
static bool find_next(uint64_t *ret, const struct reader *reader, const struct piece_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (reader->begun && list->numbers[i] - 1 <= reader->number - 1)
			continue;
		*ret = list->numbers[i];
		return true;
	}
	return false;
}

/* A log of one piece that was begun anew, or that has got a number since. */
static void check_plain(struct reader *reader, const struct piece_list *list)
{
	struct stat st;

	if (reader->fd < 0 || reader->number != PIECE_PLAIN)
		return;
	if (list->count > 0 && list->numbers[list->count - 1] != PIECE_PLAIN) /* the one before the newest */
		reader->number = list->count > 1 ? list->numbers[list->count - 2] : list->numbers[0];
	else if (fstat(reader->fd, &st) == 0 && reader->offset > (uint64_t)st.st_size)
		reader->offset = 0;
}

int reader_copy(struct reader *reader)
{
	for (;;) {
		auto_piece_list struct piece_list list = {0};
		int result = piece_list_load(&list, reader->folder, reader->name);
		uint64_t next;

		if (result < 0 && result != -ENOENT)
			return result;
		check_plain(reader, &list);
		result = reader->fd >= 0 ? copy_piece(reader) : 0;
		if (result < 0)
			return result;
		do {
			if (!find_next(&next, reader, &list))
				return 0;
			reader->number = next;
		} while (!open_piece(reader, next));
	}
}
