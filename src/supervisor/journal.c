/*
 * Where a piece ends and what its times are about is known from the sizes of the two files when the journal is opened,
 * and counted from then on: nobody else writes them. Of the two the times are written first: readers that see bytes
 * find their place. A place that was written down and whose bytes were not, because we were killed, is followed by
 * another one with the same offset, which is the one that counts.
 */
#include "supervisor/journal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "machine/piece.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct journal {
	char *folder, *name;
	uint64_t piece;
	unsigned pieces;
	bool keep_open;
	struct piece_list list; /* the last is the one that is written */
	uint64_t data, times;   /* bytes of its files */
	uint64_t older;         /* bytes of all others */
	int data_fd, times_fd;  /* -1: closed */
	unsigned stream;        /* of what was written last; 0: nothing in this piece */
	int64_t when_ms;        /* that was written down last */
	bool in_line;
	uint64_t missing; /* bytes dropped since the last one that was written */
};

static uint64_t last_number(const struct journal *journal)
{
	return journal->list.count > 0 ? journal->list.numbers[journal->list.count - 1] : 0;
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	return path && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static uint64_t piece_size(const struct journal *journal, uint64_t number)
{
	auto_free char *data = piece_path(journal->folder, journal->name, number);
	auto_free char *times = piece_times_path(journal->folder, journal->name, number);

	return size_of(data) + size_of(times);
}

static void remove_piece(const struct journal *journal, uint64_t number)
{
	auto_free char *data = piece_path(journal->folder, journal->name, number);
	auto_free char *times = piece_times_path(journal->folder, journal->name, number);

	if (times)
		unlink(times);
	if (data)
		unlink(data);
}

static void close_files(struct journal *journal)
{
	cleanup_close(&journal->data_fd);
	cleanup_close(&journal->times_fd);
	journal->data_fd = journal->times_fd = -1;
}

static int open_file(char *path, int flags)
{
	auto_free char *owned = path;
	int fd = owned ? open(owned, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600) : -1;

	return fd >= 0 ? fd : owned ? -errno : -ENOMEM;
}

static int open_files(struct journal *journal)
{
	uint64_t number = last_number(journal);

	if (journal->data_fd >= 0)
		return 0;
	journal->times_fd =
		open_file(piece_times_path(journal->folder, journal->name, number), journal->times == 0 ? O_TRUNC : 0);
	if (journal->times_fd < 0)
		return journal->times_fd;
	journal->data_fd = open_file(piece_path(journal->folder, journal->name, number), 0);
	if (journal->data_fd >= 0)
		return 0;
	cleanup_close(&journal->times_fd);
	journal->times_fd = -1;
	return journal->data_fd;
}

bool journal_drop_oldest(struct journal *journal)
{
	uint64_t size;

	if (journal->list.count < 2)
		return false;
	size = piece_size(journal, journal->list.numbers[0]);
	remove_piece(journal, journal->list.numbers[0]);
	journal->older -= size < journal->older ? size : journal->older;
	journal->list.count--;
	memmove(journal->list.numbers, journal->list.numbers + 1, journal->list.count * sizeof(*journal->list.numbers));
	return true;
}

static int begin_piece(struct journal *journal)
{
	uint64_t number = last_number(journal) + 1;
	uint64_t *grown = realloc(journal->list.numbers, (journal->list.count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	close_files(journal);
	journal->list.numbers = grown;
	journal->list.numbers[journal->list.count++] = number;
	journal->older += journal->data + journal->times;
	journal->data = journal->times = 0;
	journal->stream = 0;
	while (journal->list.count > journal->pieces && journal_drop_oldest(journal))
		;
	return 0;
}

/* What another annex wrote without a number becomes a piece like the others. */
static void number_plain(struct journal *journal)
{
	struct piece_list *list = &journal->list;
	auto_free char *plain = NULL, *numbered = NULL;
	uint64_t number = list->count > 1 ? list->numbers[list->count - 2] + 1 : 1;

	if (list->count == 0 || last_number(journal) != PIECE_PLAIN)
		return;
	plain = piece_path(journal->folder, journal->name, PIECE_PLAIN);
	numbered = piece_path(journal->folder, journal->name, number);
	if (plain && numbered && rename(plain, numbered) == 0)
		list->numbers[list->count - 1] = number;
	else
		list->count--;
}

/* Find out what is there, and where to go on: behind a piece without times a new one is begun. */
static int look(struct journal *journal)
{
	auto_free char *data = NULL, *times = NULL;
	int result = piece_list_load(&journal->list, journal->folder, journal->name);

	if (result < 0)
		return result;
	number_plain(journal);
	for (size_t i = 0; i + 1 < journal->list.count; i++)
		journal->older += piece_size(journal, journal->list.numbers[i]);
	if (journal->list.count == 0)
		return begin_piece(journal);
	data = piece_path(journal->folder, journal->name, last_number(journal));
	times = piece_times_path(journal->folder, journal->name, last_number(journal));
	journal->data = size_of(data);
	journal->times = size_of(times);
	return journal->times == 0 && journal->data > 0 ? begin_piece(journal) : 0;
}

int journal_open(struct journal **ret, const struct journal_options *options, struct annex_error **err)
{
	struct journal *journal = calloc(1, sizeof(*journal));
	int result;

	if (!journal)
		return fail_memory(err);
	*journal = (struct journal){.folder = strdup(options->folder),
				    .name = strdup(options->name),
				    .piece = options->piece,
				    .pieces = options->pieces,
				    .keep_open = options->keep_open,
				    .data_fd = -1,
				    .times_fd = -1};
	result = journal->folder && journal->name ? look(journal) : -ENOMEM;
	if (result == 0 && options->keep_open)
		result = open_files(journal);
	if (result < 0) {
		journal_close(journal);
		return fail_os(err, result, "cannot open log %s/%s", options->folder, options->name);
	}
	*ret = journal;
	return 0;
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	close_files(journal);
	piece_list_clear(&journal->list);
	free(journal->folder);
	free(journal->name);
	free(journal);
}

/* Appends what fits on the disk; counts it into *size. */
static int append(int fd, uint64_t *size, const char *bytes, size_t count)
{
	ssize_t n;

	while (count > 0) {
		n = write(fd, bytes, count);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		*size += (uint64_t)n;
		bytes += n;
		count -= (size_t)n;
	}
	return 0;
}

/* Where in these bytes the time has to be written down: at the first new line, if some time has passed. False: not. */
static bool needs_place(const struct journal *journal, struct piece_place *ret, unsigned stream, const char *bytes,
			size_t size)
{
	const char *newline;

	*ret = (struct piece_place){.offset = journal->data, .when_ms = time_realtime_ns() / 1000000, .stream = stream};
	if (journal->stream != stream)
		return true;
	if (ret->when_ms >= journal->when_ms && ret->when_ms - journal->when_ms < (int64_t)JOURNAL_STEP_MS)
		return false;
	if (!journal->in_line)
		return true;
	newline = memchr(bytes, '\n', size);
	if (!newline || newline + 1 == bytes + size)
		return false;
	ret->offset += (uint64_t)(newline + 1 - bytes);
	return true;
}

static int put(struct journal *journal, unsigned stream, const char *bytes, size_t size)
{
	auto_text struct text line = {0};
	struct piece_place place;
	int result = open_files(journal);

	if (result < 0)
		return result;
	if (needs_place(journal, &place, stream, bytes, size)) {
		piece_place_format(&line, &place);
		if (!text_ok(&line))
			return -ENOMEM;
		result = append(journal->times_fd, &journal->times, line.data, line.size);
		if (result < 0)
			return result;
		journal->stream = stream;
		journal->when_ms = place.when_ms;
	}
	result = append(journal->data_fd, &journal->data, bytes, size);
	if (result == 0)
		journal->in_line = bytes[size - 1] != '\n';
	return result;
}

static int put_note(struct journal *journal, unsigned stream)
{
	auto_text struct text note = {0};
	int result;

	if (journal->missing == 0)
		return 0;
	text_printf(&note, "%s[%llu bytes are missing here: the host's disk did not take them]\n",
		    journal->in_line ? "\n" : "", (unsigned long long)journal->missing);
	if (!text_ok(&note))
		return -ENOMEM;
	result = put(journal, stream, note.data, note.size);
	if (result == 0)
		journal->missing = 0;
	return result;
}

bool journal_write(struct journal *journal, unsigned stream, const void *bytes, size_t size)
{
	const char *at = bytes;
	bool began = false;

	while (journal && size > 0) {
		uint64_t used = journal->data + journal->times;
		uint64_t before;
		size_t some = size;
		int result = 0;

		if (used >= journal->piece) {
			result = begin_piece(journal);
			began = true;
			used = 0;
		}
		if (some > journal->piece - used)
			some = (size_t)(journal->piece - used);
		if (result == 0)
			result = put_note(journal, stream);
		before = journal->data;
		if (result == 0)
			result = put(journal, stream, at, some);
		if (result < 0) {
			if (journal->missing == 0)
				log_info("cannot write %s/%s: %s", journal->folder, journal->name, strerror(-result));
			journal->missing += size - (journal->data - before);
			journal->in_line = true;
			break;
		}
		at += some;
		size -= some;
	}
	if (journal && !journal->keep_open)
		close_files(journal);
	return began;
}

uint64_t journal_size(const struct journal *journal)
{
	return journal->older + journal->data + journal->times;
}

void journal_set_piece(struct journal *journal, uint64_t piece)
{
	journal->piece = piece;
}
