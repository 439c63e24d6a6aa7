/*
 * The progress line.
 *
 * On a terminal one line is drawn over and over, at most ten times a second, cut to the terminal's width; a step that
 * took longer than a second leaves a line that says so. Elsewhere each step, and each change of what a step waits for,
 * is a line of its own. A step is a pair of start and end with the same `step`; steps don't nest, so a report for
 * another step ends the one before. Texts may quote images and guests, so control characters never get through.
 */
#include "cli/progress.h"

#include "base/text.h"
#include "base/time.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define REDRAW_MS   100
#define NOTABLE_MS  1000 /* what takes longer is said when it ended */
#define CHANGE_MS   1000 /* between two lines about one step */
#define RATE_MS     500  /* before that a speed means nothing */
#define MIN_COLUMNS 20

enum mode {
	MODE_NONE,
	MODE_PLAIN,
	MODE_ANSI,
};

struct progress {
	enum mode mode;
	bool active; /* a step goes on */
	bool drawn;  /* a line without its newline is on the screen */
	char *step;
	char *text;
	uint64_t started_ms;
	uint64_t shown_ms;
};

int progress_new(struct progress **ret, struct annex_error **err)
{
	struct progress *made = calloc(1, sizeof(*made));

	if (!made)
		return fail_memory(err);
	progress_set_mode(made, NULL);
	*ret = made;
	return 0;
}

void progress_free(struct progress *progress)
{
	if (!progress)
		return;
	progress_clear(progress);
	free(progress->step);
	free(progress->text);
	free(progress);
}

static enum mode automatic_mode(void)
{
	const char *term = getenv("TERM");

	if (!isatty(STDERR_FILENO) || !term || !*term || text_equal(term, "dumb"))
		return MODE_PLAIN;
	return MODE_ANSI;
}

void progress_set_mode(struct progress *progress, const char *mode)
{
	if (text_equal(mode, "none"))
		progress->mode = MODE_NONE;
	else if (text_equal(mode, "plain"))
		progress->mode = MODE_PLAIN;
	else if (text_equal(mode, "ansi"))
		progress->mode = MODE_ANSI;
	else
		progress->mode = automatic_mode();
}

void progress_clear(struct progress *progress)
{
	if (!progress->drawn)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	progress->drawn = false;
	progress->shown_ms = 0;
}

static char *printable(const char *text)
{
	char *copy = strdup(text ? text : "");

	for (char *at = copy; at && *at; at++) {
		if ((unsigned char)*at < ' ' || *at == '\177')
			*at = '?';
	}
	return copy;
}

static size_t columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < MIN_COLUMNS)
		return 80;
	return size.ws_col;
}

/* Bytes that hold at most `limit` characters: UTF-8 continuation bytes take no column. */
static size_t cut(const char *text, size_t limit)
{
	size_t at = 0;

	for (size_t seen = 0; text[at]; at++) {
		if (((unsigned char)text[at] & 0xc0) != 0x80 && seen++ == limit)
			break;
	}
	return at;
}

static void add_time(struct text *line, uint64_t ms)
{
	if (ms < 60000)
		text_printf(line, "%llu.%llu s", (unsigned long long)(ms / 1000),
			    (unsigned long long)(ms % 1000 / 100));
	else
		text_printf(line, "%llu min %llu s", (unsigned long long)(ms / 60000),
			    (unsigned long long)(ms % 60000 / 1000));
}

static void draw(struct progress *progress, const struct annex_progress *step, uint64_t now)
{
	char done[TEXT_SIZE_BUFFER], total[TEXT_SIZE_BUFFER], rate[TEXT_SIZE_BUFFER];
	uint64_t spent = now - progress->started_ms;
	auto_text struct text line = {0};

	text_add(&line, progress->text);
	if (step->done)
		text_printf(&line, "  %s", text_from_size(done, step->done));
	if (step->done && step->total)
		text_printf(&line, " of %s", text_from_size(total, step->total));
	if (step->done && spent >= RATE_MS)
		text_printf(&line, ", %s/s",
			    text_from_size(rate, (uint64_t)((double)step->done * 1000 / (double)spent)));
	if (spent >= NOTABLE_MS) {
		text_add(&line, "  ");
		add_time(&line, spent);
	}
	if (!text_ok(&line) || !line.data)
		return;
	fprintf(stderr, "\r\033[K%.*s", (int)cut(line.data, columns() - 1), line.data);
	fflush(stderr);
	progress->drawn = true;
	progress->shown_ms = now;
}

static void end(struct progress *progress, uint64_t now)
{
	uint64_t spent = now - progress->started_ms;
	auto_text struct text line = {0};

	if (!progress->active)
		return;
	progress_clear(progress);
	progress->active = false;
	if (spent <= NOTABLE_MS || progress->mode == MODE_NONE)
		return;
	text_printf(&line, "%s: ", progress->text);
	add_time(&line, spent);
	if (text_ok(&line))
		fprintf(stderr, "%s\n", line.data);
}

static void set_text(char **slot, char *text)
{
	free(*slot);
	*slot = text;
}

void progress_report(const struct annex_progress *step, void *data)
{
	struct progress *progress = data;
	uint64_t now = time_monotonic_ms();
	char *text = printable(step->text);
	bool fresh, changed;

	if (progress->mode == MODE_NONE || !text) {
		free(text);
		return;
	}
	fresh = !progress->active || !text_equal(progress->step, step->step);
	if (fresh) {
		end(progress, now);
		set_text(&progress->step, strdup(step->step ? step->step : ""));
		progress->active = true;
		progress->started_ms = now;
		progress->shown_ms = 0;
	}
	changed = fresh || !text_equal(progress->text, text);
	if (*text)
		set_text(&progress->text, TAKE(text));
	else if (fresh)
		set_text(&progress->text, strdup(step->step ? step->step : ""));
	free(text);
	if (!progress->text) {
		progress->active = false;
	} else if (step->finished) {
		end(progress, now);
	} else if (progress->mode == MODE_ANSI && (changed || now - progress->shown_ms >= REDRAW_MS)) {
		draw(progress, step, now);
	} else if (progress->mode == MODE_PLAIN && changed && (fresh || now - progress->shown_ms >= CHANGE_MS)) {
		fprintf(stderr, "%s\n", progress->text);
		progress->shown_ms = now;
	}
}
