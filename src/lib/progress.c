#include "annex/progress.h"

#include "base/text.h"
#include "json/json.h"

#include <string.h>

/* JSON is UTF-8, but what a report quotes need not be: then everything that is not ASCII is replaced. NULL: memory ran
 * out, also for a NULL text. */
static json_t *encode_text(const char *text)
{
	auto_free char *copy = text ? strdup(text) : NULL;

	if (!copy)
		return NULL;
	if (!text_is_utf8(copy, strlen(copy))) {
		for (char *at = copy; *at; at++)
			*at = (unsigned char)*at < 0x80 ? *at : '?';
	}
	return json_string(copy);
}

API char *annex_progress_json(const struct annex_progress *progress)
{
	auto_json json_t *value =
		json_pack("{s:o, s:o, s:I, s:I, s:b, s:o, s:I, s:I}", "step", encode_text(progress->step), "text",
			  encode_text(progress->text ? progress->text : ""), "done", (json_int_t)progress->done,
			  "total", (json_int_t)progress->total, "finished", progress->finished, "item",
			  progress->item ? encode_text(progress->item) : json_null(), "index",
			  (json_int_t)progress->index, "count", (json_int_t)progress->count);

	return value ? json_text(value, false) : NULL;
}
