#include "base/text.h"
#include "cli/command.h"
#include "cli/output.h"

#include <stdio.h>

struct version_options {
	const char *format;
};

static const struct option options[] = {
	{OPTION_CHOICE, 0, "format", offsetof(struct version_options, format), "table|json",
	 "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct version_options *wanted = parsed;

	(void)cli;
	if (text_equal(wanted->format, "json"))
		return output_json(json_pack("{s:s, s:s}", "annex", ANNEX_VERSION, "libannex", annex_version()), err);
	printf("annex %s\n", ANNEX_VERSION);
	if (!text_equal(ANNEX_VERSION, annex_version()))
		printf("libannex %s\n", annex_version());
	return 0;
}

const struct command version_command = {
	.name = "version",
	.section = "Other",
	.summary = "show the version",
	.description = "Shows the version of annex, and of its library where that is another one.",
	.example = "annex version --format json",
	.options = options,
	.size = sizeof(struct version_options),
	.flags = COMMAND_ALONE,
	.run = run,
};
