#pragma once
#include "confine/confine.h"

/* With an older ABI of Landlock nothing could be renamed or linked from one folder into another: it is not used then.
 */
#define SHARE_LANDLOCK_LEAST 2

/* What annex-share may do once it is confined: work with files, and not on how it has come to be what it is. */
extern const struct confine_profile share_profile;
