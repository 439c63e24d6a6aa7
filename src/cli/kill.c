/* annex kill: sessions of a machine are signalled. */
#include "cli/interrupt.h"
#include "cli/machines.h"
#include "cli/signal.h"

#include <stdio.h>

struct kill_options {
	const char *name;
	const char *signal;
	struct option_list ids;
};
#define AT(field) offsetof(struct kill_options, field)

static const struct option options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_TEXT, 's', "signal", AT(signal), "SIGNAL",
	 "this signal, by name or number (default: TERM; HUP for sessions with a terminal)", COMPLETES_SIGNAL},
	{OPTION_WORDS_SOME, 0, NULL, AT(ids), "ID", "the sessions, by their ids or beginnings of them",
	 COMPLETES_SESSION},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int kill_one(struct annex_machine *machine, const char *word, int signal, struct annex_error **err)
{
	auto_free char *id = NULL;

	if (annex_session_find(&id, machine, word, err) < 0 || annex_session_kill(machine, id, signal, err) < 0)
		return fail_while(err, "kill %s", word);
	puts(id);
	return 0;
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct kill_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;
	int signal = 0, first = 0;

	if (wanted->signal && signal_parse(&signal, wanted->signal, err) < 0)
		return fail_while(err, "kill");
	if (machines_open(&machine, cli, NULL, wanted->name, err) < 0)
		return -1;
	for (size_t i = 0; i < wanted->ids.count && !interrupt_signal(); i++) {
		auto_error struct annex_error *problem = NULL;

		if (kill_one(machine, wanted->ids.words[i], signal, &problem) == 0)
			continue;
		fail_print(cli->progress, problem);
		first = first ? first : fail_exit_status(problem);
	}
	return first;
}

const struct command kill_command = {
	.name = "kill",
	.section = "Machines",
	.summary = "end sessions of a machine",
	.description = "Sends a signal to all processes of sessions, whoever has started them, and prints the ids. "
		       "Without --signal, a session with a terminal gets HUP, as if the terminal was closed, any "
		       "other TERM. Does not wait for the end. Exits with 3 if there is no such session, with 4 if "
		       "it has ended already.",
	.example = "annex kill 3f9c\nannex kill -n dev -s KILL $(annex ps -q dev)",
	.options = options,
	.size = sizeof(struct kill_options),
	.run = run,
};
