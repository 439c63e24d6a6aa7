/* annex logs: what a machine's console, its kernel, or a detached session said. */
#include "base/time.h"
#include "cli/interrupt.h"
#include "cli/machines.h"

#include <stdio.h>
#include <string.h>

struct logs_options {
	const char *name;
	const char *session;
	const char *since;
	struct option_number lines;
	bool boot;
	bool follow;
	bool timestamps;
};
#define AT(field) offsetof(struct logs_options, field)

static const struct option options[] = {
	{OPTION_FLAG, 0, "boot", AT(boot), NULL, "the kernel's messages of the last boot instead of the console",
	 COMPLETES_NOTHING},
	{OPTION_TEXT, 0, "session", AT(session), "ID", "what a detached session wrote", COMPLETES_SESSION},
	{OPTION_FLAG, 'f', "follow", AT(follow), NULL, "go on with what comes", COMPLETES_NOTHING},
	{OPTION_NUMBER, 'n', "lines", AT(lines), "LINES", "only the last lines (default: all)", COMPLETES_NOTHING},
	{OPTION_FLAG, 't', "timestamps", AT(timestamps), NULL, "show when each line was written", COMPLETES_NOTHING},
	{OPTION_TEXT, 0, "since", AT(since), "TIME|AGE",
	 "only from then on: 2026-11-25T18:00:00Z, or 90s, 10m, 2h, 1d ago", COMPLETES_NOTHING},
	{OPTION_WORD_OPTIONAL, 0, NULL, AT(name), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

/* "10m" and the like, in seconds. */
static bool parse_age(int64_t *ret, const char *text)
{
	static const struct {
		char unit;
		uint32_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	size_t length = strlen(text);
	auto_free char *digits = length > 1 ? strndup(text, length - 1) : NULL;
	uint32_t number = 0;

	if (!digits || text_to_u32(&number, digits, 10) < 0)
		return false;
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		if (units[i].unit != text[length - 1])
			continue;
		*ret = (int64_t)number * units[i].seconds;
		return true;
	}
	return false;
}

static int parse_since(int64_t *ret, const char *text, struct annex_error **err)
{
	int64_t age = 0;

	if (time_parse(ret, text) == 0)
		return 0;
	if (!parse_age(&age, text))
		return fail(err, ANNEX_ERROR_USAGE, "--since: '%s' is neither a time nor an age such as 10m", text);
	*ret = time_realtime_ns() / 1000000000 - age;
	*ret = *ret > 0 ? *ret : 1;
	return 0;
}

static int choose(struct annex_log_options *ret, const struct logs_options *wanted, struct annex_error **err)
{
	static const char contradict[] = "%s and %s contradict each other";

	if (wanted->boot && wanted->session)
		return fail(err, ANNEX_ERROR_USAGE, contradict, "--boot", "--session");
	if (wanted->boot && (wanted->timestamps || wanted->since))
		return fail(err, ANNEX_ERROR_USAGE, contradict, "--boot", wanted->since ? "--since" : "--timestamps");
	ret->lines = wanted->lines.set && wanted->lines.value < INT64_MAX ? (int64_t)wanted->lines.value : -1;
	ret->follow = wanted->follow;
	ret->timestamps = wanted->timestamps;
	return wanted->since ? parse_since(&ret->since, wanted->since, err) : 0;
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct logs_options *wanted = parsed;
	struct annex_log_options chosen = ANNEX_LOG_OPTIONS_INIT;
	auto_machine struct annex_machine *machine = NULL;
	int result;

	if (choose(&chosen, wanted, err) < 0) {
		fail_hint(err, "annex logs --help");
		return fail_while(err, "logs");
	}
	if (machines_open(&machine, cli, wanted->name, NULL, err) < 0)
		return -1;
	if (wanted->session)
		result = annex_session_logs(machine, wanted->session, &chosen, err);
	else
		result = annex_machine_logs(machine, wanted->boot ? ANNEX_LOG_BOOT : ANNEX_LOG_CONSOLE, &chosen, err);
	if (result < 0)
		return fail_while(err, "logs %s", annex_machine_name(machine));
	/* An interrupt is how following ends: no failure, but the process ends by it. */
	return interrupt_signal() ? FAIL_STATUS_FAILED : 0;
}

const struct command logs_command = {
	.name = "logs",
	.section = "Machines",
	.summary = "show what a machine's console or a session said",
	.description =
		"Shows the output of a machine's console since it was made, where init and services write; or its "
		"kernel's messages; or what a detached session ('annex run -d') has written, standard output and error "
		"each on its own. Logs are kept when the machine stops; of the console the last 16 MiB. Following "
		"ends when the machine is deleted, or when the session has ended.",
	.example = "annex logs dev\nannex logs --boot -n 50 dev\nannex logs -ft --since 10m\n"
		   "annex logs -f --session $(annex run -d make)",
	.options = options,
	.size = sizeof(struct logs_options),
	.run = run,
};
