#pragma once
#include "base/error.h"

#include <stdint.h>

/* The kernel's announcements of devices, for waiting until one is there. Blocking; for the boot only. */
MUST_USE int uevent_open(void); /* a descriptor or -errno; open it before what may announce */

/* Call `look` now and after each announcement until it returns something other than -ENOENT, which is the result;
 * -ETIMEDOUT when that takes too long. */
MUST_USE int uevent_wait(int fd, uint64_t timeout_ms, int (*look)(void *data), void *data);
