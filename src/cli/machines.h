#pragma once
#include "cli/command.h"

/* What the commands that take machines share. */
static inline void cleanup_machine(struct annex_machine **machine)
{
	annex_machine_unref(*machine);
}
#define auto_machine CLEANUP(cleanup_machine)

/* The one machine named by a word, by -n, or neither ($ANNEX_MACHINE, the default). Both: USAGE. */
MUST_USE int machines_open(struct annex_machine **ret, struct cli *cli, const char *word, const char *option,
			   struct annex_error **err);

typedef int machines_fn(struct cli *cli, struct annex_machine *machine, const void *data, struct annex_error **err);

struct machines_choice {
	const struct option_list *words;
	const char *option;
	bool all;
	bool says_it; /* the errors of what `fn` does say themselves what was asked */
};
/* Call `fn` for each chosen machine. Failures are reported as they come and don't keep the others from their turn; the
 * first one's exit status is the result. */
MUST_USE int machines_each(struct cli *cli, const struct machines_choice *choice, machines_fn *fn, const void *data,
			   struct annex_error **err);

/* Which unit starts it, when its settings were changed so that one does. */
MUST_USE int machines_tell_autostart(struct cli *cli, struct annex_machine *machine, struct annex_error **err);

/* Boot it; a failure of the guest shows the end of its boot log first. */
MUST_USE int machines_start(struct cli *cli, struct annex_machine *machine, struct annex_error **err);
