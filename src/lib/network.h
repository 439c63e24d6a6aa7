#pragma once
#include "annex/network.h"

#include "lib/context.h"
#include "machine/setting.h"

/* A setting that names a network needs that to be there, and to stay until the setting is kept: *ret_lock is held till
 * then, and left alone when there is nothing to hold. What was so before (NULL: nothing was) is no business of this. */
MUST_USE int network_claim(int *ret_lock, const struct annex_context *context, const struct machine_settings *settings,
			   const struct machine_settings *before, struct annex_error **err);
