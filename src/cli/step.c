#include "cli/step.h"

#include "base/text.h"
#include "cli/printable.h"

#include <stdio.h>
#include <string.h>

void step_clear(struct step *step)
{
	for (size_t i = 0; i < step->count; i++)
		free(step->items[i].text);
	free(step->items);
	free(step->name);
	free(step->text);
	*step = (struct step){0};
}

bool step_is_new(const struct step *step, const struct annex_progress *report)
{
	return !step->active || !text_equal(step->name, report->step ? report->step : "");
}

static int begin(struct step *step, uint64_t now_ms, const struct annex_progress *report)
{
	step_clear(step);
	step->name = strdup(report->step ? report->step : "");
	if (!step->name)
		return -ENOMEM;
	step->active = true;
	step->begin_ms = now_ms;
	return 0;
}

static int set_text(char **slot, unsigned *change, const char *text)
{
	auto_text struct text made = {0};
	auto_free char *taken = NULL;

	printable_add(&made, text);
	taken = text_take(&made);
	if (!taken)
		return -ENOMEM;
	if (text_equal(*slot, taken))
		return 0;
	free(*slot);
	*slot = TAKE(taken);
	*change |= STEP_TEXT;
	return 0;
}

static int grow(struct step *step, unsigned count)
{
	struct step_item *grown;

	if (count > STEP_ITEMS_MAX)
		return -EINVAL;
	if (count <= step->count)
		return 0;
	grown = reallocarray(step->items, count, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	memset(grown + step->count, 0, (count - step->count) * sizeof(*grown));
	step->items = grown;
	step->count = count;
	return 0;
}

static void set_id(struct step_item *item, const char *name)
{
	auto_text struct text made = {0};
	const char *colon = strchr(name, ':');

	printable_add(&made, colon ? colon + 1 : name);
	if (text_ok(&made) && made.data)
		snprintf(item->id, sizeof(item->id), "%.*s", (int)printable_cut(made.data, STEP_ID), made.data);
}

static int update_item(struct step_item *item, unsigned *change, struct step *step, uint64_t now_ms,
		       const struct annex_progress *report)
{
	bool first = !item->text;

	if (set_text(&item->text, change, report->text ? report->text : "") < 0)
		return -ENOMEM;
	if (first) {
		set_id(item, report->item);
		item->begin_ms = now_ms;
		item->before = report->done;
		step->begun++;
		*change |= STEP_BEGAN;
	}
	item->done = report->done;
	item->total = report->total;
	meter_update(&item->meter, now_ms, item->done, item->total);
	if (report->finished && !item->finished) {
		item->finished = true;
		step->ended++;
		*change |= STEP_ENDED;
	}
	return 0;
}

uint64_t step_moved(const struct step *step)
{
	uint64_t before = 0;

	for (size_t i = 0; i < step->count; i++)
		before += step->items[i].before;
	return step->done > before ? step->done - before : 0;
}

static int update_whole(struct step *step, unsigned *change, uint64_t now_ms, const struct annex_progress *report)
{
	const char *text = report->text && *report->text ? report->text : step->text ? step->text : step->name;
	uint64_t moved;

	if (set_text(&step->text, change, text) < 0)
		return -ENOMEM;
	if (!report->finished || report->done)
		step->done = report->done;
	if (report->total)
		step->total = report->total;
	moved = step_moved(step);
	meter_update(&step->meter, now_ms, moved, step->total > step->done ? moved + step->total - step->done : moved);
	*change |= report->finished ? STEP_ENDED : STEP_SAME;
	return 0;
}

int step_update(struct step_item **ret_item, unsigned *ret_change, struct step *step, uint64_t now_ms,
		const struct annex_progress *report)
{
	unsigned change = STEP_SAME;
	struct step_item *item = NULL;
	int result;

	if (report->item && report->index >= report->count)
		return -EINVAL;
	if (step_is_new(step, report)) {
		result = begin(step, now_ms, report);
		if (result < 0)
			return result;
		change |= report->item ? STEP_SAME : STEP_BEGAN;
	}
	result = grow(step, report->count);
	if (result == 0 && !step->text)
		result = set_text(&step->text, &(unsigned){0}, step->name);
	if (result < 0)
		return result;
	if (report->item) {
		item = &step->items[report->index];
		result = update_item(item, &change, step, now_ms, report);
	} else {
		result = update_whole(step, &change, now_ms, report);
	}
	if (result < 0)
		return result;
	*ret_item = item;
	*ret_change = change;
	return 0;
}
