/*
 * How progress is told: by mode.
 *
 * On a terminal the lines of frame.c are drawn over and over, in place, at most ten times a second; a step that took
 * longer than a second leaves a line that says so. Elsewhere each step, each of its items that ended, and each change
 * of what a step waits for, is a line of its own. For programs each report is a line of JSON. A step is a pair of start
 * and end with the same `step`; steps don't nest, so a report for another step ends the one before.
 *
 * The cursor stays at the start of the last line drawn, where a key that the terminal echoes breaks no line. To draw
 * again it goes up over what is there; a terminal that was made narrower meanwhile has broken those lines, so how many
 * rows they take is asked of its width as it is now. In the background nothing is drawn, and what others may have
 * written over is left alone.
 */
#include "cli/progress.h"

#include "base/text.h"
#include "base/time.h"
#include "cli/frame.h"
#include "cli/interrupt.h"
#include "cli/redraw.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define REDRAW_MS  100
#define NOTABLE_MS 1000           /* what takes longer is said when it ended */
#define CHANGE_MS  UINT64_C(1000) /* between two lines about one step, on average */
#define CHANGES    5              /* that may come at once */

enum mode {
	MODE_NONE,
	MODE_PLAIN,
	MODE_ANSI,
	MODE_JSON,
};

struct progress {
	enum mode mode;
	struct progress_place place;
	struct step step;
	char *drawn; /* what is on the screen, or NULL */
	uint64_t drawn_ms;
	unsigned resumed; /* when it was drawn */
};

static void real_size(unsigned *ret_rows, unsigned *ret_columns)
{
	struct winsize size;
	bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0;

	*ret_rows = known && size.ws_row ? size.ws_row : 24;
	*ret_columns = known && size.ws_col > 1 ? size.ws_col : 80;
}

static bool is_really_ours(void)
{
	pid_t foreground = tcgetpgrp(STDERR_FILENO);

	return foreground < 0 || foreground == getpgrp();
}

int progress_new(struct progress **ret, const struct progress_place *place, struct annex_error **err)
{
	struct progress *made = calloc(1, sizeof(*made));

	if (!made)
		return fail_memory(err);
	made->place = place ? *place
			    : (struct progress_place){time_monotonic_ms, real_size, is_really_ours, interrupt_resumed};
	progress_set_mode(made, NULL);
	*ret = made;
	return 0;
}

void progress_free(struct progress *progress)
{
	if (!progress)
		return;
	progress_clear(progress);
	step_clear(&progress->step);
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
	static const char *const names[] = {
		[MODE_NONE] = "none", [MODE_PLAIN] = "plain", [MODE_ANSI] = "ansi", [MODE_JSON] = "json"};

	progress->mode = automatic_mode();
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (text_equal(mode, names[i]))
			progress->mode = (enum mode)i;
	}
}

static void put(const struct text *out)
{
	if (!text_ok(out))
		return;
	fwrite(out->data, 1, out->size, stderr);
	fflush(stderr);
}

static void forget_drawn(struct progress *progress)
{
	free(TAKE(progress->drawn));
	progress->drawn_ms = 0;
}

void progress_clear(struct progress *progress)
{
	auto_text struct text out = {0};
	unsigned rows, columns;

	if (!progress->drawn)
		return;
	if (!progress->place.is_ours() || progress->resumed != progress->place.resumed()) {
		forget_drawn(progress);
		return;
	}
	progress->place.size(&rows, &columns);
	redraw_add_return(&out, progress->drawn, columns);
	text_add(&out, "\033[J");
	put(&out);
	forget_drawn(progress);
}

/* One column and one row stay free: a full last line would make the terminal scroll or wrap. */
static void draw(struct progress *progress, uint64_t now_ms)
{
	auto_text struct text out = {0}, frame = {0};
	unsigned rows, columns;

	if (!progress->place.is_ours() || progress->resumed != progress->place.resumed())
		forget_drawn(progress);
	if (!progress->place.is_ours())
		return;
	progress->resumed = progress->place.resumed();
	progress->place.size(&rows, &columns);
	frame_make(&frame, &progress->step, now_ms, rows - 1, columns - 1);
	if (!text_ok(&frame) || !frame.data)
		return;
	redraw_add_return(&out, progress->drawn ? progress->drawn : "", columns);
	redraw_add_lines(&out, frame.data);
	put(&out);
	free(progress->drawn);
	progress->drawn = text_take(&frame);
	progress->drawn_ms = now_ms;
}

static void say(const struct text *line)
{
	if (text_ok(line))
		fprintf(stderr, "%s\n", line->data);
}

/* The step is over. */
static void end(struct progress *progress, uint64_t now_ms)
{
	const struct step *step = &progress->step;
	auto_text struct text line = {0};

	progress_clear(progress);
	if ((progress->mode == MODE_PLAIN || progress->mode == MODE_ANSI) && step->active && step->text &&
	    now_ms - step->begin_ms > NOTABLE_MS) {
		frame_add_summary(&line, step, NULL, now_ms);
		say(&line);
	}
	step_clear(&progress->step);
}

/* May another line about the step be printed? A few may come at once, but no flood. */
static bool take_line(struct step *step, uint64_t now_ms)
{
	uint64_t from = step->lines_ms > now_ms ? step->lines_ms : now_ms;

	if (from - now_ms > (CHANGES - 1) * CHANGE_MS)
		return false;
	step->lines_ms = from + CHANGE_MS;
	return true;
}

static void tell_plain(struct progress *progress, const struct step_item *item, unsigned change, uint64_t now_ms)
{
	struct step *step = &progress->step;
	auto_text struct text line = {0};

	if (item && (change & STEP_ENDED)) {
		frame_add_summary(&line, step, item, now_ms);
		say(&line);
	}
	if (item || (change & STEP_ENDED))
		return;
	step->untold = step->untold || (change & (STEP_BEGAN | STEP_TEXT));
	if (!step->untold || !take_line(step, now_ms))
		return;
	text_add(&line, step->text);
	say(&line);
	step->untold = false;
}

static void tell_json(struct progress *progress, struct step_item *item, unsigned change, uint64_t now_ms,
		      const struct annex_progress *report)
{
	uint64_t *told_ms = item ? &item->told_ms : &progress->step.told_ms;
	struct annex_progress shown = *report;
	auto_free char *line = NULL;

	if (!change && now_ms - *told_ms < REDRAW_MS)
		return;
	shown.text = item ? item->text : progress->step.text;
	line = annex_progress_json(&shown);
	if (!line)
		return;
	fprintf(stderr, "%s\n", line);
	*told_ms = now_ms;
}

void progress_report(const struct annex_progress *report, void *data)
{
	struct progress *progress = data;
	uint64_t now_ms = progress->place.now_ms();
	struct step_item *item = NULL;
	unsigned change = STEP_SAME;

	if (progress->mode == MODE_NONE)
		return;
	if (step_is_new(&progress->step, report))
		end(progress, now_ms);
	if (step_update(&item, &change, &progress->step, now_ms, report) < 0)
		return;
	if (progress->mode == MODE_JSON)
		tell_json(progress, item, change, now_ms, report);
	else if (progress->mode == MODE_PLAIN)
		tell_plain(progress, item, change, now_ms);
	else if (!item && !(change & STEP_ENDED) && (change || now_ms - progress->drawn_ms >= REDRAW_MS))
		draw(progress, now_ms);
	if (!item && (change & STEP_ENDED))
		end(progress, now_ms);
}
