#pragma once
#include "base/text.h"
#include "qemu/config.h"

/* Where QEMU finds the descriptors that it is started with. Ports follow from QEMU_FD_PORTS on, in their order. */
enum { QEMU_FD_QMP = 3, QEMU_FD_CONSOLE = 4, QEMU_FD_SHARE = 5, QEMU_FD_NETWORK = 6, QEMU_FD_PORTS = 7 };

/* The arguments that start this virtual machine, the program first. QEMU waits for QMP's "cont" before the guest runs.
 * USAGE for what QEMU would misunderstand; UNSUPPORTED for what this QEMU has not. */
MUST_USE int qemu_args(struct text_list *ret, const struct qemu_probe *probe, const struct qemu_config *config,
		       struct annex_error **err);

/* The same for people: one option per line, quoted for a shell, lines continued with backslashes. The caller frees it;
 * NULL: out of memory. */
char *qemu_args_text(const struct text_list *args);
