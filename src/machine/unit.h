#pragma once
#include "base/text.h"

/*
 * The unit by which systemd starts a machine: what is in its file, and what of ours is read from one. Pure.
 */
#define UNIT_LIMIT (1u << 20) /* bytes of a file that is read */

struct unit {
	const char *name, *id; /* of the machine */
	const char *data, *config, *runtime;
	const char *program;            /* the supervisor's absolute path */
	const char *const *environment; /* "K=V", NULL-terminated */
	bool restarts;                  /* also when its supervisor is killed */
};

/* "annex-NAME.service"; NULL: out of memory. */
char *unit_file_name(const char *machine);
/* USAGE for a path or variable with a control character. */
MUST_USE int unit_text(char **ret, const struct unit *unit, struct annex_error **err);

/* What a unit's text says about itself; NULLs for one that annex didn't write. */
struct unit_mark {
	char *id, *data, *program;
};
MUST_USE int unit_read(struct unit_mark *ret, const char *text, struct annex_error **err);
void unit_mark_clear(struct unit_mark *mark);
#define auto_unit_mark CLEANUP(unit_mark_clear)
