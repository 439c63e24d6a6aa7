#pragma once
#include "base/text.h"

/* What QEMU's death means, from its arguments, its wait status and what it wrote to standard error. Always -1, with
 * *err set: see qemu_vm_start() for the kinds. */
int qemu_failure(struct annex_error **err, const struct text_list *args, int status, const char *output);
