#pragma once
#include "base/error.h"

#include <stdbool.h>

/* What the host's QEMU is and can do, and which accelerator works. */

enum { QEMU_OLDEST_MAJOR = 7, QEMU_OLDEST_MINOR = 0 };

struct qemu_probe {
	char *program; /* absolute */
	char *version; /* "7.2.22" */
	unsigned major, minor;
	bool kvm;      /* built in */
	bool sandbox;  /* -sandbox on */
	bool slirp;    /* -netdev user */
	bool io_uring; /* aio=io_uring, and the kernel lets us */
};

/* Finds qemu-system-ARCH, or what $ANNEX_QEMU names. What it said is kept in `cache_folder`/qemu.json (NULL: nowhere)
 * for as long as the program's file is the same. Errors: NOT_FOUND; UNSUPPORTED: too old, or not QEMU. Blocks. Clear
 * *ret with qemu_probe_clear(). */
MUST_USE int qemu_probe(struct qemu_probe *ret, const char *cache_folder, struct annex_error **err);
void qemu_probe_clear(struct qemu_probe *probe);
#define auto_qemu_probe CLEANUP(qemu_probe_clear)

enum qemu_accel_kind { QEMU_ACCEL_AUTO, QEMU_ACCEL_KVM, QEMU_ACCEL_TCG };

const char *qemu_accel_name(enum qemu_accel_kind kind);
/* "auto", "kvm" or "tcg"; USAGE. */
MUST_USE int qemu_accel_parse(enum qemu_accel_kind *ret, const char *text, struct annex_error **err);

struct qemu_accel {
	enum qemu_accel_kind kind; /* never AUTO */
	char *reason;              /* one line for people: why this one */
	char *hint;                /* the command that gets a better one, or NULL */
	unsigned slowness;         /* deadlines grow by it: 1, or 10 under emulation */
};

/* AUTO takes KVM only where it boots ordinary kernels; KVM takes it as soon as it opens and makes a virtual machine,
 * else UNSUPPORTED with the reason and the hint. Clear *ret with qemu_accel_clear(). */
MUST_USE int qemu_accel_choose(struct qemu_accel *ret, const struct qemu_probe *probe, enum qemu_accel_kind wanted,
			       struct annex_error **err);
void qemu_accel_clear(struct qemu_accel *accel);
#define auto_qemu_accel CLEANUP(qemu_accel_clear)
