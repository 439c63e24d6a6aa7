#pragma once
#include "lib/machine.h"

/*
 * The setting autostart: a unit of the user's systemd, in $XDG_CONFIG_HOME/systemd/user, that is there and enabled
 * while the record says so. Processes that are killed may leave the two apart: the next `set` or start mends that.
 */

/* Before anything is made: UNSUPPORTED, with what else there is, where no systemd would look at units. */
MUST_USE int autostart_check(struct annex_error **err);
/* Let the unit be as the record says. EXISTS: another's unit has its name. The lock of the record is held. */
MUST_USE int autostart_sync(struct annex_machine *machine, struct annex_error **err);
/* The same before a start, but only if the unit is gone or starts a program that is. What can't be mended is none of
 * the start's business. */
void autostart_heal(struct annex_machine *machine);
/* Let its unit start it, where nothing of it runs and the user's systemd is there: as the host shuts down, that stops
 * it in order, which it doesn't do with what runs in a login session. *ret is NULL where it didn't, for whatever
 * reason. */
MUST_USE int autostart_start(struct link **ret, struct annex_machine *machine, struct annex_error **err);
/* The machine is about to be deleted. */
MUST_USE int autostart_remove(struct annex_machine *machine, struct annex_error **err);

/* {"unit", "path", "starts": "host" or "login", "problem": text or null}; null where it is not set. */
MUST_USE int autostart_describe(json_t **ret, struct annex_machine *machine, struct annex_error **err);
/* What is wrong with it, or NULL; the caller frees it. */
MUST_USE int autostart_problem(char **ret, struct annex_machine *machine, struct annex_error **err);
/* The paths of units of machines that are no longer there, or don't want them. */
MUST_USE int autostart_orphans(struct text_list *ret, const struct annex_context *context, struct annex_error **err);
