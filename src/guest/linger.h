#pragma once
#include "base/error.h"

#include <stdint.h>

/*
 * The user's own services on systemd. They are started with the machine, before anybody logs in ("lingering"), so that
 * `systemctl --user`, the user's D-Bus and XDG_RUNTIME_DIR are there in every session. Asked for once: who turns it off
 * in the machine (loginctl disable-linger) has it off.
 *
 * Units and what is enabled of them lie in ~/.config/systemd, which in a shared home is the host's. They are no concern
 * of a machine's, nor are a machine's of the host's: each machine has its own folder in that place.
 */

/* On the disk, before systemd starts. `root`: "", or a folder that stands for the machine's root. */
MUST_USE int linger_set(const char *root, const char *user, struct annex_error **err);
/* The folder that stands in the place of that of a shared home; of the user. */
MUST_USE int linger_make_units(const char *root, uint32_t uid, uint32_t gid, struct annex_error **err);

/* Mount it there. `root`: of the machine, with the home in it. -errno; -EXDEV: that place is none of the host's, as a
 * link leads out of the home. */
MUST_USE int linger_bind_units(int root, const char *home);
/* What user@.service needs below /run where the image has no pam_systemd. `units`: run/systemd/system. -errno. */
MUST_USE int linger_drop_in(int units);
