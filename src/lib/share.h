#pragma once
#include "lib/machine.h"

#include "machine/share.h"

/* "HOST:GUEST[:OPTIONS]" with HOST made absolute and canonical: "~" is the home, anything else that does not begin with
 * a slash is relative to the working folder. NOT_FOUND. The caller frees *ret. */
MUST_USE int share_volume(char **ret, const char *text, struct annex_error **err);
/* The same for a setting, "volume=HOST:GUEST[:OPTIONS]"; every other one is copied as it is. */
MUST_USE int share_setting(char **ret, const char *pair, struct annex_error **err);

/* Of a machine that runs: share what `after` has more than `before`, and no longer what it has less. On failure all is
 * as before. */
MUST_USE int share_change(struct annex_machine *machine, const struct text_list *before, const struct text_list *after,
			  struct annex_error **err);

/* The folder of a running machine that is this process's working folder; NULL: it has none. The caller frees *ret. */
MUST_USE int share_folder(char **ret, struct annex_machine *machine, struct annex_error **err);
