#pragma once
#include "base/error.h"
#include "cli/option.h"

/* Which of an image's platforms is meant. The structure has `const char *platform, *architecture`. */
#define PLATFORM_ROWS(structure)                                                     \
	{OPTION_TEXT,      0,                                                        \
	 "platform",       offsetof(structure, platform),                            \
	 "OS/ARCH",        "the image's platform (default: the host's)",             \
	 COMPLETES_NOTHING},                                                         \
	{                                                                            \
		OPTION_TEXT, 'a', "arch", offsetof(structure, architecture), "ARCH", \
			"short for --platform linux/ARCH", COMPLETES_NOTHING         \
	}

/* As the library takes it; NULL when neither is given. USAGE when both are. The caller frees *ret. */
MUST_USE int platform_choose(char **ret, const char *platform, const char *architecture, struct annex_error **err);
