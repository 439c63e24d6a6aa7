/* annex image pull: images from registries. */
#include "base/text.h"
#include "cli/images.h"
#include "cli/platform.h"

#include <stdio.h>

struct pull_options {
	struct option_list images;
	const char *platform;
	const char *architecture;
	const char *scheme;
	const char *progress;
	bool quiet;
};
#define AT(field) offsetof(struct pull_options, field)

static const struct option options[] = {
	PLATFORM_ROWS(struct pull_options),
	SCHEME_ROW(struct pull_options),
	{OPTION_FLAG, 'q', "quiet", AT(quiet), NULL, "print only the names", COMPLETES_NOTHING},
	PROGRESS_ROW(struct pull_options),
	{OPTION_WORDS_SOME, 0, NULL, AT(images), "IMAGE",
	 "like debian:12, ghcr.io/org/name:tag, host:5000/name, or name@sha256:...; without a host, of Docker Hub; "
	 "without a tag, latest",
	 COMPLETES_IMAGE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

struct pull {
	const struct pull_options *wanted;
	const char *platform;
};

static int pull_one(struct cli *cli, const char *name, void *data, struct annex_error **err)
{
	struct annex_image_pull_options asked = ANNEX_IMAGE_PULL_OPTIONS_INIT;
	auto_image struct annex_image *image = NULL;
	const struct pull *pull = data;
	int changed = 0;

	asked.platform = pull->platform;
	asked.scheme = pull->wanted->scheme;
	if (annex_image_pull(&image, &changed, cli->context, name, &asked, err) < 0)
		return -1;
	progress_clear(cli->progress);
	if (!pull->wanted->quiet && !text_equal(pull->wanted->progress, "json"))
		fprintf(stderr, changed ? "pulled %s\n" : "%s is up to date\n", images_name(image));
	puts(images_name(image));
	return 0;
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct pull_options *wanted = parsed;
	auto_free char *platform = NULL;
	struct pull pull = {.wanted = wanted};

	progress_set_mode(cli->progress, wanted->progress ? wanted->progress : wanted->quiet ? "none" : NULL);
	if (platform_choose(&platform, wanted->platform, wanted->architecture, err) < 0)
		return fail_while(err, "image pull");
	pull.platform = platform;
	return images_each(cli, &wanted->images, pull_one, &pull);
}

const struct command image_pull_command = {
	.name = "image pull",
	.aliases = "pull",
	.section = "Images",
	.summary = "take images from registries",
	.description =
		"Takes images from registries, builds the disks that machines start from, and prints their names. An "
		"image that is up to date costs one request. What was complete when a pull was interrupted need not "
		"be fetched again.",
	.example = "annex image pull debian:12\nannex image pull --arch arm64 ghcr.io/org/name:tag",
	.options = options,
	.size = sizeof(struct pull_options),
	.run = run,
};
