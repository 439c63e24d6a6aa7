#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* What the host's QEMU is and can do, and which accelerator works. */

enum { QEMU_OLDEST_MAJOR = 7, QEMU_OLDEST_MINOR = 0 };

struct qemu_probe {
	char *program; /* absolute */
	char *version; /* "7.2.22" */
	uint64_t major, minor;
	bool kvm;     /* built in */
	bool sandbox; /* -sandbox on */
	bool dgram;   /* -netdev dgram: a link of frames in datagrams */
	bool grows;   /* processors and memory can be added to a machine that runs */
};

/* Finds qemu-system-ARCH, or what $ANNEX_QEMU names. What it said is kept in `cache_folder`/qemu.json (NULL: nowhere)
 * for as long as the program's file is the same. Errors: NOT_FOUND; UNSUPPORTED: too old, or not QEMU. Blocks. Clear
 * *ret with qemu_probe_clear(). */
MUST_USE int qemu_probe(struct qemu_probe *ret, const char *cache_folder, struct annex_error **err);
void qemu_probe_clear(struct qemu_probe *probe);
#define auto_qemu_probe CLEANUP(qemu_probe_clear)
