#pragma once
#include "base/error.h"

#include <stdint.h>

#define CAPABILITY(number) (UINT64_C(1) << (number)) /* of <linux/capability.h> */

/* Keeps these of root's capabilities, of this thread and what it starts; takes none. -errno. */
MUST_USE int capability_keep(uint64_t kept);
