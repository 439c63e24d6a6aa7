#pragma once
#include "qemu/probe.h"

/* Which accelerator the host can offer. */

enum qemu_accel_kind { QEMU_ACCEL_AUTO, QEMU_ACCEL_KVM, QEMU_ACCEL_TCG };

const char *qemu_accel_name(enum qemu_accel_kind kind);
/* "auto", "kvm" or "tcg"; USAGE. */
MUST_USE int qemu_accel_parse(enum qemu_accel_kind *ret, const char *text, struct annex_error **err);

/* Whether KVM boots ordinary kernels here. */
struct qemu_kvm {
	bool opens;   /* the device opens and makes virtual machines */
	bool boots;   /* and the processor does it in hardware */
	char *reason; /* one line for people, why it does or why not */
	char *hint;   /* the command that helps, or NULL */
};
/* `device` is /dev/kvm, `cpuinfo` is /proc/cpuinfo. -ENOMEM. Clear *ret with qemu_kvm_clear(). */
MUST_USE int qemu_kvm_check(struct qemu_kvm *ret, const char *device, const char *cpuinfo);
void qemu_kvm_clear(struct qemu_kvm *kvm);
#define auto_qemu_kvm CLEANUP(qemu_kvm_clear)

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
