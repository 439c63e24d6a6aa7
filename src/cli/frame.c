/*
 * The lines that show a step on a terminal.
 *
 * A step without items is one line. One with items (layers) has a heading, a line for each item that is under way, and
 * a total; where the terminal has not got so many rows, first items are only counted, then the heading goes. The
 * columns of all lines are aligned: what it is about, and then fields, of which as many are shown as there is room for,
 * the most important ones first. Numbers have fixed widths, so that nothing moves but the digits.
 */
#include "cli/frame.h"

#include "cli/printable.h"

#include <stdio.h>
#include <string.h>

#define GAP          2
#define BAR_MIN      8
#define BAR_MAX      30
#define NOTABLE_MS   1000 /* from then on the time that passed is shown */
#define WORDS_MIN    12   /* columns for what is done to an item, if it needs them */
#define ID_AND_GAP   (STEP_ID + GAP)
#define FIELD_LENGTH 64

/* In the order in which they are shown. */
enum field { FIELD_SIZES, FIELD_PERCENT, FIELD_RATE, FIELD_LEFT, FIELD_BAR, FIELD_COUNT };

struct fields {
	char texts[FIELD_COUNT][FIELD_LENGTH]; /* "": none */
	double part;                           /* done, from 0 to 1; negative: unknown */
};

/* "12.3 s", "2 min 5 s", "3 h 4 min" */
static void add_time(struct text *line, uint64_t ms)
{
	unsigned long long seconds = ms / 1000;

	if (seconds < 60)
		text_printf(line, "%llu.%llu s", seconds, (unsigned long long)(ms % 1000 / 100));
	else if (seconds < 3600)
		text_printf(line, "%llu min %llu s", seconds / 60, seconds % 60);
	else
		text_printf(line, "%llu h %llu min", seconds / 3600, seconds % 3600 / 60);
}

void frame_add_summary(struct text *line, const struct step *step, const struct step_item *item, uint64_t now_ms)
{
	uint64_t done = item ? item->done : step->done, moved = item ? done - item->before : step_moved(step);
	uint64_t spent = now_ms - (item ? item->begin_ms : step->begin_ms);
	char size[TEXT_SIZE_BUFFER], rate[TEXT_SIZE_BUFFER];

	if (item)
		text_printf(line, "layer %zu of %zu: ", (size_t)(item - step->items) + 1, step->count);
	else
		text_printf(line, "%s: ", step->text);
	if (done)
		text_printf(line, "%s", text_from_size(size, done));
	if (item && !moved) {
		text_printf(line, "%s%s", done ? ", " : "", item->text);
		return;
	}
	text_add(line, done ? " in " : "");
	add_time(line, spent);
	if (moved && spent)
		text_printf(line, " (%s/s)", text_from_size(rate, (uint64_t)((double)moved * 1000 / (double)spent)));
}

/* Shorter than other times, so that there is room for it. */
static void fill_left(struct fields *fields, const struct meter *meter, uint64_t now_ms)
{
	char text[FIELD_LENGTH] = "";
	unsigned seconds;
	uint64_t ms;

	if (meter_left_ms(&ms, meter, now_ms)) {
		seconds = (unsigned)((ms + 999) / 1000);
		if (seconds < 60)
			snprintf(text, sizeof(text), "%us left", seconds);
		else if (seconds < 3600)
			snprintf(text, sizeof(text), "%um %us left", seconds / 60, seconds % 60);
		else
			snprintf(text, sizeof(text), "%uh %um left", seconds / 3600, seconds % 3600 / 60);
	}
	snprintf(fields->texts[FIELD_LEFT], FIELD_LENGTH, "%-12s", text);
}

static void fill(struct fields *fields, uint64_t done, uint64_t total, const struct meter *meter)
{
	char a[TEXT_SIZE_BUFFER], b[TEXT_SIZE_BUFFER];
	uint64_t rate;

	fields->part = -1;
	if (total) {
		fields->part = done < total ? (double)done / (double)total : 1;
		snprintf(fields->texts[FIELD_SIZES], FIELD_LENGTH, "%8s of %8s", text_from_size(a, done),
			 text_from_size(b, total));
		snprintf(fields->texts[FIELD_PERCENT], FIELD_LENGTH, "%3u%%", (unsigned)(fields->part * 100));
	} else if (done) {
		snprintf(fields->texts[FIELD_SIZES], FIELD_LENGTH, "%8s", text_from_size(a, done));
	}
	if (done && meter_rate(&rate, meter))
		snprintf(fields->texts[FIELD_RATE], FIELD_LENGTH, "%8s/s", text_from_size(a, rate));
	else if (total)
		snprintf(fields->texts[FIELD_RATE], FIELD_LENGTH, "%10s", ""); /* keeps its place */
}

static void fill_bar(struct fields *fields, size_t width)
{
	char *bar = fields->texts[FIELD_BAR];
	size_t inner = (width < BAR_MAX ? width : BAR_MAX) - 2;
	size_t full = (size_t)((double)inner * fields->part);

	bar[0] = '[';
	memset(bar + 1, '=', full);
	memset(bar + 1 + full, ' ', inner - full);
	if (full < inner)
		bar[1 + full] = '>';
	snprintf(bar + 1 + inner, FIELD_LENGTH - 1 - inner, "]");
}

/* Keep what fits into so many columns. */
static void choose(struct fields *fields, size_t room)
{
	static const enum field ranks[] = {FIELD_PERCENT, FIELD_LEFT, FIELD_RATE, FIELD_SIZES};

	for (size_t i = 0; i < COUNT_OF(ranks); i++) {
		char *text = fields->texts[ranks[i]];
		size_t needed = *text ? GAP + strlen(text) : 0;

		if (needed > room)
			*text = '\0';
		else
			room -= needed;
	}
	if (fields->part >= 0 && room >= GAP + BAR_MIN)
		fill_bar(fields, room - GAP);
}

/* What it is about, padded to `left` columns or cut to `columns`, and the fields. */
static void add_line(struct text *lines, const char *about, size_t left, struct fields *fields, size_t columns)
{
	size_t fits = left < columns ? left : columns, width = printable_width(about);
	size_t bytes = printable_cut(about, fits);

	if (lines->size)
		text_add_char(lines, '\n');
	text_add_bytes(lines, about, bytes);
	choose(fields, columns - fits);
	for (size_t i = 0, pad = fits - (width < fits ? width : fits); i < FIELD_COUNT; i++) {
		if (!*fields->texts[i])
			continue;
		text_printf(lines, "%*s%s", (int)(pad + GAP), "", fields->texts[i]);
		pad = 0;
	}
}

static void add_plain(struct text *lines, const struct step *step, uint64_t now_ms, size_t columns)
{
	struct fields fields = {0};
	auto_text struct text time = {0};
	uint64_t spent = now_ms - step->begin_ms;

	fill(&fields, step->done, step->total, &step->meter);
	if (step->total) {
		fill_left(&fields, &step->meter, now_ms);
	} else if (spent >= NOTABLE_MS) {
		add_time(&time, spent);
		snprintf(fields.texts[FIELD_LEFT], FIELD_LENGTH, "%s", text_ok(&time) ? time.data : "");
	}
	add_line(lines, step->text, printable_width(step->text), &fields, columns);
}

static bool is_under_way(const struct step_item *item)
{
	return item->text && !item->finished;
}

/* Columns that are given to what the items under way are about. */
static size_t about_width(const struct step *step, size_t columns)
{
	size_t widest = 0, most = columns / 5 > WORDS_MIN ? columns / 5 : WORDS_MIN;

	for (size_t i = 0; i < step->count; i++) {
		size_t width = is_under_way(&step->items[i]) ? printable_width(step->items[i].text) : 0;

		widest = width > widest ? width : widest;
	}
	return ID_AND_GAP + (widest < most ? widest : most);
}

static void add_item(struct text *lines, const struct step_item *item, size_t left, size_t columns)
{
	struct fields fields = {0};
	auto_text struct text about = {0};

	fill(&fields, item->done, item->total, &item->meter);
	text_printf(&about, "%-*s%*s%s", STEP_ID, item->id, GAP, "", item->text);
	if (text_ok(&about))
		add_line(lines, about.data, left, &fields, columns);
}

static void add_items(struct text *lines, const struct step *step, size_t rows, size_t left, size_t columns)
{
	size_t active = step->begun - step->ended, shown = active > rows ? rows - (rows > 0) : active;
	struct fields none = {.part = -1};
	char more[64];

	for (size_t i = 0, seen = 0; i < step->count && seen < shown; i++) {
		if (!is_under_way(&step->items[i]))
			continue;
		seen++;
		add_item(lines, &step->items[i], left, columns);
	}
	if (active > shown && rows > 0) {
		snprintf(more, sizeof(more), "and %zu more", active - shown);
		add_line(lines, more, left, &none, columns);
	}
}

static void add_counts(struct text *line, const struct step *step)
{
	size_t waiting = step->count - step->begun;

	text_printf(line, "%zu of %zu layers done", step->ended, step->count);
	if (waiting)
		text_printf(line, ", %zu waiting", waiting);
}

void frame_make(struct text *ret, const struct step *step, uint64_t now_ms, size_t rows, size_t columns)
{
	auto_text struct text counts = {0}, heading = {0};
	struct fields total = {0}, none = {.part = -1};
	const char *about = "total";
	size_t left = about_width(step, columns);

	if (!step->count) {
		add_plain(ret, step, now_ms, columns);
		return;
	}
	add_counts(&counts, step);
	text_printf(&heading, "%s: %s", step->text, text_ok(&counts) ? counts.data : "");
	if (!text_ok(&counts) || !text_ok(&heading))
		return;
	if (rows >= 2) {
		/* The counts are in the heading, or in the last line where that is too narrow. */
		bool fits = printable_width(heading.data) <= columns;

		add_line(ret, fits ? heading.data : step->text, columns, &none, columns);
		add_items(ret, step, rows - 2, left, columns);
		about = fits ? about : counts.data;
	} else {
		about = counts.data;
	}
	fill(&total, step->done, step->total, &step->meter);
	fill_left(&total, &step->meter, now_ms);
	left = strlen(about) > left ? strlen(about) : left;
	add_line(ret, about, left, &total, columns);
}
