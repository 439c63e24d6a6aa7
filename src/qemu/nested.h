#pragma once
#include "qemu/accel.h"

/* Where the host tells whether its KVM lets guests of a machine have virtualization themselves. */
#define QEMU_NESTED_MODULES "/sys/module"

/* Can a machine on this accelerator run virtual machines inside? UNSUPPORTED with the reason and what helps. The
 * architecture is uname's. */
MUST_USE int qemu_nested_check(enum qemu_accel_kind kind, const char *architecture, const char *modules,
			       struct annex_error **err);
