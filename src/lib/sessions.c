/*
 * The sessions of a machine, as those see them who did not start them. Its supervisor knows those that run; of detached
 * ones there are records, also while no supervisor runs. Records are read after the supervisor was asked: one that has
 * ended in between has its end there, and one that tells no end is of a session that began in between.
 */
#include "annex/session.h"

#include "lib/machine.h"
#include "lib/request.h"
#include "lib/sessions.h"
#include "machine/session.h"

#include <string.h>

static const char *const state_names[] = {
	[ANNEX_SESSION_RUNNING] = "running", [ANNEX_SESSION_EXITED] = "exited", [ANNEX_SESSION_LOST] = "lost"};

API const char *annex_session_state_name(enum annex_session_state state)
{
	return state_names[state];
}

static struct session_record *find(const struct session_list *list, const char *id)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].id, id) == 0)
			return &list->items[i];
	}
	return NULL;
}

static void swap(struct session_record *a, struct session_record *b)
{
	struct session_record other = *a;

	*a = *b;
	*b = other;
}

static int add_kept(struct session_list *list, struct session_list *kept, bool runs, struct annex_error **err)
{
	for (size_t i = 0; i < kept->count; i++) {
		struct session_record *record = &kept->items[i], *known = find(list, record->id);

		if (known && record->ended)
			swap(known, record);
		if (known)
			continue;
		record->lost = record->lost || (!record->ended && !runs);
		if (session_list_add(list, record, err) < 0)
			return -1;
	}
	return 0;
}

int sessions_load(struct session_list *ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_session_list struct session_list list = {0}, kept = {0};
	auto_link struct link *link = NULL;

	if (link_open(&link, machine->context, &machine->paths, false, err) < 0 ||
	    (link && request_sessions(link, &list, err) < 0) || session_list_load(&kept, &machine->paths, err) < 0 ||
	    add_kept(&list, &kept, link != NULL, err) < 0)
		return -1;
	session_list_sort(&list);
	*ret = list;
	list = (struct session_list){0};
	return 0;
}

bool sessions_is_over(const struct session_record *record)
{
	return record->lost || record->ended != 0;
}

static int give(struct annex_session_info *ret, const struct session_record *record)
{
	*ret = (struct annex_session_info){
		.id = strdup(record->id),
		.user = strdup(record->user),
		.command = strdup(record->command),
		.started = record->started,
		.ended = record->ended,
		.status = (int)record->status,
		.state = record->lost    ? ANNEX_SESSION_LOST
			 : record->ended ? ANNEX_SESSION_EXITED
					 : ANNEX_SESSION_RUNNING,
		.terminal = record->terminal,
		.detached = record->detached,
	};
	return ret->id && ret->user && ret->command ? 0 : -ENOMEM;
}

API void annex_session_list_free(struct annex_session_info *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free((char *)list[i].id);
		free((char *)list[i].user);
		free((char *)list[i].command);
	}
	free(list);
}

API int annex_session_list(struct annex_session_info **ret, size_t *ret_count, struct annex_machine *machine, int ended,
			   struct annex_error **err)
{
	auto_session_list struct session_list list = {0};
	struct annex_session_info *given;
	size_t count = 0;

	if (sessions_load(&list, machine, err) < 0)
		return -1;
	given = calloc(list.count + 1, sizeof(*given));
	if (!given)
		return fail_memory(err);
	for (size_t i = 0; i < list.count; i++) {
		if (!ended && sessions_is_over(&list.items[i]))
			continue;
		if (give(&given[count++], &list.items[i]) < 0) {
			annex_session_list_free(given, count);
			return fail_memory(err);
		}
	}
	*ret = given;
	*ret_count = count;
	return 0;
}

int sessions_find(struct session_record *ret, struct annex_machine *machine, const char *prefix,
		  struct annex_error **err)
{
	auto_session_list struct session_list list = {0};
	struct session_record *found = NULL;

	if (sessions_load(&list, machine, err) < 0)
		return -1;
	for (size_t i = 0; i < list.count; i++) {
		if (!*prefix || !text_starts(list.items[i].id, prefix))
			continue;
		if (found)
			return fail(err, ANNEX_ERROR_USAGE, "session '%s' can be %s or %s", prefix, found->id,
				    list.items[i].id);
		found = &list.items[i];
	}
	if (!found) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "there is no session '%s' in machine '%s'", prefix,
		     machine->paths.name);
		return fail_hint(err, "annex ps -a %s", machine->paths.name);
	}
	*ret = *found;
	*found = (struct session_record){0};
	return 0;
}

API int annex_session_find(char **ret, struct annex_machine *machine, const char *prefix, struct annex_error **err)
{
	auto_session_record struct session_record record = {0};

	if (sessions_find(&record, machine, prefix, err) < 0)
		return -1;
	*ret = TAKE(record.id);
	return 0;
}

API int annex_session_kill(struct annex_machine *machine, const char *id, int signal, struct annex_error **err)
{
	auto_session_record struct session_record record = {0};
	auto_link struct link *link = NULL;

	if (signal < 0)
		return fail(err, ANNEX_ERROR_USAGE, "there is no signal %d", signal);
	if (sessions_find(&record, machine, id, err) < 0)
		return -1;
	if (link_open(&link, machine->context, &machine->paths, false, err) < 0)
		return -1;
	if (sessions_is_over(&record) || !link)
		return fail(err, ANNEX_ERROR_BUSY, "session %s has ended already", record.id);
	return request_kill(link, record.id, (unsigned)signal, err);
}
