#pragma once
#include "base/error.h"

#include <stdint.h>

/* For container engines in a machine whose home is the host's: storage.conf of Podman, Buildah and Skopeo then keeps
 * what ordinary users have on the machine's disk, the given one's in a folder that nobody else can write. What the
 * image or the machine's owner has written stays. Runs with the disk as root. */
MUST_USE int containers_keep_on_disk(uint32_t uid, uint32_t gid, struct annex_error **err);
