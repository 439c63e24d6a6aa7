#pragma once
#include "base/error.h"
#include "confine/support.h"

/*
 * For a process that decodes what strangers made: no network, no files but those that are open already, no new programs
 * or processes, nobody's memory, no more privileges. By Landlock and seccomp where the kernel has them, and by limits
 * everywhere. Once, for ever, while there is one thread. What libraries want to open must be open, or never be needed.
 * *ret: what the kernel had for it.
 */
MUST_USE int confine(struct support *ret, struct annex_error **err);
