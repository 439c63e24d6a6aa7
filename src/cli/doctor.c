/* annex doctor: is this host fit, and what would make it fitter. */
#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"

#include <stdio.h>

struct doctor_options {
	const char *format;
};

static const struct option options[] = {
	{OPTION_CHOICE, 0, "format", offsetof(struct doctor_options, format), "table|json",
	 "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static const struct {
	const char *name;
	const char *shown;
	const char *colour;
} levels[] = {
	[ANNEX_DOCTOR_GOOD] = {"good", "good", "\033[32m"},
	[ANNEX_DOCTOR_COULD_BE_BETTER] = {"could-be-better", "could be better", "\033[33m"},
	[ANNEX_DOCTOR_BROKEN] = {"broken", "broken", "\033[31m"},
};

static bool has_colours(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && (!no || !*no) && term && *term && !text_equal(term, "dumb");
}

static void print_finding(const struct annex_doctor_finding *finding, bool colours)
{
	printf("%s%-15s%s  %-8s  %s\n", colours ? levels[finding->level].colour : "", levels[finding->level].shown,
	       colours ? "\033[0m" : "", finding->subject, finding->text);
	if (finding->hint)
		printf("%27shint: %s\n", "", finding->hint);
}

static int add_object(json_t *array, const struct annex_doctor_finding *finding, struct annex_error **err)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:o}", "level", levels[finding->level].name, "subject",
				   finding->subject, "text", finding->text, "hint", output_json_text(finding->hint));

	return object && json_array_append_new(array, object) == 0 ? 0 : fail_memory(err);
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct doctor_options *wanted = parsed;
	struct annex_doctor_finding *findings = NULL;
	bool colours = has_colours(), json = text_equal(wanted->format, "json");
	auto_json json_t *array = json_array();
	size_t count = 0;
	int result = 0, status = 0;

	if (annex_doctor(&findings, &count, cli->context, err) < 0)
		return fail_while(err, "doctor");
	progress_clear(cli->progress);
	for (size_t i = 0; i < count && result == 0; i++) {
		if (findings[i].level == ANNEX_DOCTOR_BROKEN)
			status = FAIL_STATUS_FAILED;
		if (json)
			result = add_object(array, &findings[i], err);
		else
			print_finding(&findings[i], colours);
	}
	annex_doctor_free(findings, count);
	if (result == 0 && json)
		result = output_json(TAKE(array), err);
	return result < 0 ? result : status;
}

const struct command doctor_command = {
	.name = "doctor",
	.section = "Other",
	.summary = "check this host, and say what would help",
	.description =
		"Checks whether machines can run here and how well, and names the command that improves each finding. "
		"Exits with 1 if something keeps machines from running.",
	.example = "annex doctor",
	.options = options,
	.size = sizeof(struct doctor_options),
	.run = run,
};
