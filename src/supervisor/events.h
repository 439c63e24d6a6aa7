#pragma once
#include "supervisor/supervisor.h"

/* What comes from QEMU; data: the supervisor. */
void events_on_vm(struct qemu_vm *vm, const struct qemu_event *event, void *data);
/* A write to a full disk is tried again. */
void events_on_retry(struct loop_source *source, void *data);
