#include "unpack/report.h"

#include "base/text.h"
#include "json/json.h"

#include <limits.h>
#include <string.h>

/* A report as it stands on the line. */
struct line {
	char *report, *message, *hint;
	json_t *done;
	uint64_t layer, size, kind, os;
};

static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "report", struct line, report, true),
	JSON_ROW(JSON_ROW_VALUE, "done", struct line, done, false),
	JSON_ROW(JSON_ROW_U64, "layer", struct line, layer, false),
	JSON_ROW(JSON_ROW_U64, "size", struct line, size, false),
	JSON_ROW(JSON_ROW_U64, "kind", struct line, kind, false),
	JSON_ROW(JSON_ROW_U64, "errno", struct line, os, false),
	JSON_ROW(JSON_ROW_TEXT, "message", struct line, message, false),
	JSON_ROW(JSON_ROW_TEXT, "hint", struct line, hint, false),
};

static const char *const names[] = {
	[REPORT_PROGRESS] = "progress", [REPORT_LAYER] = "layer", [REPORT_FINISHING] = "finishing",
	[REPORT_RESULT] = "result",     [REPORT_ERROR] = "error",
};

void report_clear(struct report *report)
{
	free(report->done);
	free(report->text);
	free(report->hint);
	*report = (struct report){0};
}

static char *clean(const char *text)
{
	auto_text struct text made = {0};

	text_add_clean(&made, text, REPORT_TEXT);
	return text_take(&made);
}

static json_t *encode_done(const uint64_t *done, size_t layers)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < layers; i++)
		json_array_append_new(list, json_integer((json_int_t)done[i]));
	return list;
}

char *report_encode(const struct report *report, size_t layers)
{
	auto_free char *message = report->text ? clean(report->text) : NULL;
	auto_free char *hint = report->hint ? clean(report->hint) : NULL;
	auto_json json_t *done = report->done ? encode_done(report->done, layers) : NULL;
	const struct line line = {
		(char *)names[report->kind], message, hint, done, report->layer, report->size, report->error,
		(unsigned)report->os};
	auto_json json_t *object = json_encode(&line, rows, COUNT_OF(rows));
	auto_free char *text = object ? json_text(object, false) : NULL;
	auto_text struct text whole = {0};

	if (!text || (report->text && !message) || (report->hint && !hint) || (report->done && !done))
		return NULL;
	text_add(&whole, text);
	text_add_char(&whole, '\n');
	return text_take(&whole);
}

static int wrong(struct annex_error **err, const char *what)
{
	return fail(err, ANNEX_ERROR_CORRUPT, "report: %s", what);
}

static int take_done(struct report *report, const json_t *list, size_t layers, struct annex_error **err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(list) || json_array_size(list) != layers)
		return wrong(err, "not a number for each layer");
	report->done = calloc(layers + 1, sizeof(*report->done));
	if (!report->done)
		return fail_memory(err);
	json_array_foreach(list, i, item)
	{
		if (!json_is_integer(item) || json_integer_value(item) < 0)
			return wrong(err, "not a number for each layer");
		report->done[i] = (uint64_t)json_integer_value(item);
	}
	return 0;
}

static int take_error(struct report *report, struct line *line, struct annex_error **err)
{
	if (!line->message || strlen(line->message) > REPORT_TEXT)
		return wrong(err, "an error without a message, or with one too long");
	if (line->hint && strlen(line->hint) > REPORT_TEXT)
		return wrong(err, "a hint too long");
	if (line->kind > UINT_MAX || line->os > INT_MAX)
		return wrong(err, "an error of no kind");
	report->error = (unsigned)line->kind;
	report->os = (int)line->os;
	report->text = clean(line->message);
	report->hint = line->hint ? clean(line->hint) : NULL;
	if (!report->text || (line->hint && !report->hint))
		return fail_memory(err);
	return 0;
}

static int take_line(struct report *report, struct line *line, size_t layers, struct annex_error **err)
{
	size_t kind = 0;

	while (kind < COUNT_OF(names) && strcmp(names[kind], line->report) != 0)
		kind++;
	report->kind = (enum report_kind)kind;
	switch (kind) {
	case REPORT_PROGRESS:
		return take_done(report, line->done, layers, err);
	case REPORT_LAYER:
		report->layer = (size_t)line->layer;
		return line->layer < layers ? 0 : wrong(err, "no such layer");
	case REPORT_FINISHING:
		return 0;
	case REPORT_RESULT:
		report->size = line->size;
		return 0;
	case REPORT_ERROR:
		return take_error(report, line, err);
	default:
		return wrong(err, "of an unknown kind");
	}
}

int report_decode(struct report *ret, const char *line, size_t size, size_t layers, struct annex_error **err)
{
	auto_json json_t *object = NULL;
	struct report report = {0};
	struct line taken = {0};
	int result;

	if (size >= REPORT_LIMIT)
		return wrong(err, "too long");
	if (json_parse(&object, line, size, "report", err) < 0)
		return -1;
	result = json_decode(&taken, object, rows, COUNT_OF(rows), "report", err);
	if (result == 0)
		result = take_line(&report, &taken, layers, err);
	json_clear(&taken, rows, COUNT_OF(rows));
	if (result < 0) {
		report_clear(&report);
		return -1;
	}
	*ret = report;
	return 0;
}
