#include "lib/change.h"

#include "machine/lifecycle.h"

#include <string.h>

int change_open(struct link **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_link struct link *link = NULL;

	if (link_open(&link, machine->context, &machine->paths, false, err) < 0)
		return -1;
	if (!link)
		return fail(err, ANNEX_ERROR_BUSY, "machine '%s' is not running", machine->paths.name);
	*ret = TAKE(link);
	return 0;
}

/* What `list` has and `other` has not. */
static int subtract(struct text_list *ret, const struct text_list *list, const struct text_list *other)
{
	for (size_t i = 0; i < list->count; i++) {
		bool found = false;

		for (size_t k = 0; k < other->count && !found; k++)
			found = strcmp(list->items[i], other->items[k]) == 0;
		if (!found && text_list_add(ret, list->items[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Those that are gone first: another may take the place. What was done is undone when one fails. */
static int change_all(struct link *link, const struct text_list *gone, const struct text_list *new, change_fn *change,
		      struct annex_error **err)
{
	size_t count = gone->count + new->count, done = 0;

	for (; done < count; done++) {
		bool is_new = done >= gone->count;
		const char *text = is_new ? new->items[done - gone->count] : gone->items[done];

		if (change(link, text, is_new, err) < 0)
			break;
	}
	if (done == count)
		return 0;
	while (done-- > 0) {
		auto_error struct annex_error *ignored = NULL;
		bool was_new = done >= gone->count;
		const char *text = was_new ? new->items[done - gone->count] : gone->items[done];

		(void)!change(link, text, !was_new, &ignored);
	}
	return -1;
}

int change_list(struct annex_machine *machine, const struct text_list *before, const struct text_list *after,
		change_fn *change, struct annex_error **err)
{
	auto_text_list struct text_list gone = {0}, new = {0};
	auto_link_state struct link_state state = {0};
	auto_link struct link *link = NULL;

	if (subtract(&gone, before, after) < 0 || subtract(&new, after, before) < 0)
		return fail_memory(err);
	if (gone.count + new.count == 0)
		return 0;
	if (link_open(&link, machine->context, &machine->paths, false, err) < 0 ||
	    (link && link_state(link, &state, err) < 0))
		return -1;
	/* One that is about to run may have read its record already: pending then. */
	return link && state.state == MACHINE_RUNNING ? change_all(link, &gone, &new, change, err) : 0;
}
