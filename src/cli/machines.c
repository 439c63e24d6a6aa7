#include "cli/machines.h"

#include "base/text.h"
#include "cli/interrupt.h"
#include "cli/output.h"

#include <stdio.h>

#define SHOWN_LOG_LINES 10

int machines_open(struct annex_machine **ret, struct cli *cli, const char *word, const char *option,
		  struct annex_error **err)
{
	if (word && option)
		return fail(err, ANNEX_ERROR_USAGE, "%s: the machine is named twice, '%s' and '%s'", cli->command->name,
			    word, option);
	if (!word)
		word = option;
	if (annex_machine_open(ret, cli->context, word, err) == 0)
		return 0;
	return word ? fail_while(err, "%s %s", cli->command->name, word) : fail_while(err, "%s", cli->command->name);
}

/* One machine's turn. */
static int one(struct cli *cli, struct annex_machine *machine, bool says_it, machines_fn *fn, const void *data)
{
	auto_error struct annex_error *err = NULL;

	if (fn(cli, machine, data, &err) >= 0)
		return 0;
	if (!says_it)
		fail_while(&err, "%s %s", cli->command->name, annex_machine_name(machine));
	fail_print(cli->progress, err);
	return fail_exit_status(err);
}

static int each_of_all(struct cli *cli, bool says_it, machines_fn *fn, const void *data, struct annex_error **err)
{
	struct annex_machine **list = NULL;
	size_t count = 0;
	int first = 0;

	if (annex_machine_list(&list, &count, cli->context, err) < 0)
		return fail_while(err, "%s", cli->command->name);
	for (size_t i = 0; i < count && !interrupt_signal(); i++) {
		int status = one(cli, list[i], says_it, fn, data);

		first = first ? first : status;
	}
	annex_machine_list_free(list, count);
	return first;
}

int machines_each(struct cli *cli, const struct machines_choice *choice, machines_fn *fn, const void *data,
		  struct annex_error **err)
{
	size_t count = choice->words ? choice->words->count : 0;
	int first = 0;

	if (choice->all && (count || choice->option))
		return fail(err, ANNEX_ERROR_USAGE, "%s: --all and a name contradict each other", cli->command->name);
	if (choice->all)
		return each_of_all(cli, choice->says_it, fn, data, err);
	for (size_t i = 0; i < (count ? count : 1) && !interrupt_signal(); i++) {
		auto_error struct annex_error *problem = NULL;
		auto_machine struct annex_machine *machine = NULL;
		int status;

		if (machines_open(&machine, cli, count ? choice->words->words[i] : NULL, choice->option, &problem) <
		    0) {
			fail_print(cli->progress, problem);
			status = fail_exit_status(problem);
		} else {
			status = one(cli, machine, choice->says_it, fn, data);
		}
		first = first ? first : status;
	}
	return first;
}

int machines_tell_autostart(struct cli *cli, struct annex_machine *machine, struct annex_error **err)
{
	auto_free char *text = NULL;
	auto_json json_t *array = json_array();
	const char *unit, *starts;
	json_t *autostart;

	if (annex_machine_describe(&text, machine, err) < 0 || output_json_append(array, text, err) < 0)
		return -1;
	autostart = json_object_get(json_array_get(array, 0), "autostart");
	unit = json_string_value(json_object_get(autostart, "unit"));
	starts = json_string_value(json_object_get(autostart, "starts"));
	if (!unit || !starts)
		return 0;
	progress_clear(cli->progress);
	if (text_equal(starts, "host"))
		fprintf(stderr, "%s starts it with this host\n", unit);
	else
		fprintf(stderr,
			"%s starts it when you log in\nhint: loginctl enable-linger lets it start with this host\n",
			unit);
	return 0;
}

int machines_start(struct cli *cli, struct annex_machine *machine, struct annex_error **err)
{
	struct annex_log_options shown = ANNEX_LOG_OPTIONS_INIT;
	enum annex_error_kind kind;

	if (annex_machine_start(machine, err) == 0)
		return 0;
	kind = annex_error_kind(*err);
	if (kind == ANNEX_ERROR_GUEST || kind == ANNEX_ERROR_TIMEOUT) {
		progress_clear(cli->progress);
		shown.lines = SHOWN_LOG_LINES;
		shown.output_fd = STDERR_FILENO;
		/* A panic, or an init that ends, is on the console; what a boot hangs at is in the kernel's log. It
		 * only helps to understand; that it can't be shown changes nothing. */
		if (annex_machine_logs(machine, kind == ANNEX_ERROR_GUEST ? ANNEX_LOG_CONSOLE : ANNEX_LOG_BOOT, &shown,
				       NULL) < 0)
			progress_clear(cli->progress);
		fail_hint(err, "annex logs --boot %s", annex_machine_name(machine));
	}
	return -1;
}
