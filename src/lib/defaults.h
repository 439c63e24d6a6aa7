#pragma once
#include "lib/context.h"
#include "machine/setting.h"

/* What a new machine is set to: annex's own defaults, changed by the user's config.json. CORRUPT: that has a mistake,
 * which is told with file and line. */
MUST_USE int defaults_load(struct machine_settings *ret, const struct annex_context *context, struct annex_error **err);

/* Apply "key=value" pairs, NULL-terminated, as users give them: a volume's HOST may be relative or begin with "~", and
 * KEY=default is what a new machine has. The settings may be changed in part when it fails. `pairs` may be NULL. */
MUST_USE int defaults_apply(struct machine_settings *settings, const struct annex_context *context,
			    const char *const *pairs, struct annex_error **err);
