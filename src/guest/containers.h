#pragma once
#include "base/error.h"

/* For container engines in a machine whose home is the host's: storage.conf of Podman, Buildah and Skopeo then keeps
 * what ordinary users have on the machine's disk. What the image or the machine's owner has written stays. Runs with
 * the disk as root. */
MUST_USE int containers_keep_on_disk(struct annex_error **err);
