#include "cli/platform.h"

#include <stdio.h>
#include <string.h>

int platform_choose(char **ret, const char *platform, const char *architecture, struct annex_error **err)
{
	char *made = NULL;

	if (platform && architecture)
		return fail(err, ANNEX_ERROR_USAGE, "--platform and --arch contradict each other");
	if (platform)
		made = strdup(platform);
	else if (architecture && asprintf(&made, "linux/%s", architecture) < 0)
		made = NULL;
	if (!made && (platform || architecture))
		return fail_memory(err);
	*ret = made;
	return 0;
}
