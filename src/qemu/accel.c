/*
 * KVM that opens is not KVM that works: under some hypervisors the device exists and makes virtual machines without
 * hardware behind it, and an ordinary kernel dies early in its boot. On x86 the processor's flags tell the two apart;
 * other architectures have no such flag, and no such KVM.
 */
#include "qemu/accel.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <pwd.h>
#include <stdio.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

enum { KVM_VERSION = 12, CPUINFO_LIMIT = 4 << 20 };

static const char *const names[] = {
	[QEMU_ACCEL_AUTO] = "auto",
	[QEMU_ACCEL_KVM] = "kvm",
	[QEMU_ACCEL_TCG] = "tcg",
};

const char *qemu_accel_name(enum qemu_accel_kind kind)
{
	return names[kind];
}

int qemu_accel_parse(enum qemu_accel_kind *ret, const char *text, struct annex_error **err)
{
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum qemu_accel_kind)i;
			return 0;
		}
	}
	return fail(err, ANNEX_ERROR_USAGE, "'%s' is not an accelerator (auto, kvm, tcg)", text);
}

enum x86_flag { X86_OTHER, X86_NONE, X86_VMX, X86_SVM };

/* The first processor's flags; OTHER when the file has no such line (not x86). */
static enum x86_flag read_flags(const char *cpuinfo)
{
	auto_free char *text = NULL;
	char *line, *rest;

	if (file_read(&text, NULL, AT_FDCWD, cpuinfo, CPUINFO_LIMIT) < 0)
		return X86_OTHER;
	rest = text;
	while ((line = strsep(&rest, "\n"))) {
		char *flag, *flags = strchr(line, ':');

		if (!text_starts(line, "flags") || !flags)
			continue;
		while ((flag = strsep(&flags, " "))) {
			if (strcmp(flag, "vmx") == 0)
				return X86_VMX;
			if (strcmp(flag, "svm") == 0)
				return X86_SVM;
		}
		return X86_NONE;
	}
	return X86_OTHER;
}

static int explain(struct qemu_kvm *kvm, char *hint, const char *format, ...) PRINTF_LIKE(3, 4);
static int explain(struct qemu_kvm *kvm, char *hint, const char *format, ...)
{
	va_list args;
	int length;

	kvm->hint = hint;
	va_start(args, format);
	length = vasprintf(&kvm->reason, format, args);
	va_end(args);
	if (length >= 0)
		return 0;
	kvm->reason = NULL;
	qemu_kvm_clear(kvm);
	return -ENOMEM;
}

/* Group membership where the device has a group that is allowed to, else an access list. */
static char *hint_permission(const char *device)
{
	struct passwd *user = getpwuid(geteuid());
	const char *name = user ? user->pw_name : "$USER";
	struct group *group = NULL;
	struct stat st;
	char *hint;
	int length;

	if (stat(device, &st) == 0 && (st.st_mode & 060) == 060 && st.st_gid != 0)
		group = getgrgid(st.st_gid);
	if (group)
		length = asprintf(&hint, "sudo usermod -aG %s %s, then log in again", group->gr_name, name);
	else
		length = asprintf(&hint, "sudo setfacl -m u:%s:rw %s", name, device);
	return length < 0 ? NULL : hint;
}

static int explain_missing(struct qemu_kvm *kvm, const char *device, enum x86_flag flag)
{
	if (flag == X86_VMX)
		return explain(kvm, strdup("sudo modprobe kvm_intel"), "%s is missing: KVM is not loaded", device);
	if (flag == X86_SVM)
		return explain(kvm, strdup("sudo modprobe kvm_amd"), "%s is missing: KVM is not loaded", device);
	if (flag == X86_NONE)
		return explain(kvm,
			       strdup("turn virtualization on in the firmware, or nested virtualization of this VM"),
			       "%s is missing: the processor offers no virtualization", device);
	return explain(kvm, strdup("sudo modprobe kvm"), "%s is missing: the kernel has no KVM", device);
}

int qemu_kvm_check(struct qemu_kvm *ret, const char *device, const char *cpuinfo)
{
	enum x86_flag flag = read_flags(cpuinfo);
	auto_close int fd = open(device, O_RDWR | O_CLOEXEC), vm = -1;
	int os = errno;

	*ret = (struct qemu_kvm){0};
	if (fd < 0 && os == ENOENT)
		return explain_missing(ret, device, flag);
	if (fd < 0 && (os == EACCES || os == EPERM) && flag == X86_NONE)
		return explain(ret, strdup("turn nested virtualization on for this VM"),
			       "%s may not be opened by this user, and the processor shows neither vmx nor svm",
			       device);
	if (fd < 0 && (os == EACCES || os == EPERM))
		return explain(ret, hint_permission(device), "%s may not be opened by this user", device);
	if (fd < 0)
		return explain(ret, NULL, "%s can't be opened: %s", device, strerror(os));
	if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_VERSION)
		return explain(ret, NULL, "%s is not the KVM that is known here", device);
	vm = ioctl(fd, KVM_CREATE_VM, 0);
	if (vm < 0)
		return explain(ret, NULL, "%s makes no virtual machine: %s", device, strerror(errno));
	ret->opens = true;
	if (flag == X86_NONE)
		return explain(
			ret, strdup("turn nested virtualization on for this VM"),
			"%s opens, but the processor shows neither vmx nor svm: ordinary kernels don't boot on it",
			device);
	ret->boots = true;
	return explain(ret, NULL, "KVM works");
}

void qemu_kvm_clear(struct qemu_kvm *kvm)
{
	free(kvm->reason);
	free(kvm->hint);
	*kvm = (struct qemu_kvm){0};
}

static int take(struct qemu_accel *ret, enum qemu_accel_kind kind, char *reason, char *hint, struct annex_error **err)
{
	enum { EMULATION_SLOWNESS = 10 };

	if (!reason) {
		free(hint);
		return fail_memory(err);
	}
	*ret = (struct qemu_accel){kind, reason, hint, kind == QEMU_ACCEL_TCG ? EMULATION_SLOWNESS : 1};
	return 0;
}

int qemu_accel_choose(struct qemu_accel *ret, const struct qemu_probe *probe, enum qemu_accel_kind wanted,
		      struct annex_error **err)
{
	auto_qemu_kvm struct qemu_kvm kvm = {0};

	if (wanted == QEMU_ACCEL_TCG)
		return take(ret, QEMU_ACCEL_TCG, strdup("emulation was asked for"), NULL, err);
	if (qemu_kvm_check(&kvm, "/dev/kvm", "/proc/cpuinfo") < 0)
		return fail_memory(err);
	if (!probe->kvm) {
		free(kvm.reason);
		if (asprintf(&kvm.reason, "%s is built without KVM", probe->program) < 0)
			kvm.reason = NULL;
		kvm.opens = kvm.boots = false;
		free(TAKE(kvm.hint));
	}
	if (wanted == QEMU_ACCEL_KVM && !kvm.opens) {
		fail(err, ANNEX_ERROR_UNSUPPORTED, "KVM can't be used: %s", kvm.reason ? kvm.reason : "out of memory");
		return fail_hint(err, "%s", kvm.hint ? kvm.hint : "leave the accelerator at 'auto'");
	}
	if (wanted == QEMU_ACCEL_KVM && !kvm.boots)
		return take(ret, QEMU_ACCEL_KVM, strdup("KVM was asked for, though it may not work here"),
			    TAKE(kvm.hint), err);
	return take(ret, kvm.boots ? QEMU_ACCEL_KVM : QEMU_ACCEL_TCG, TAKE(kvm.reason), TAKE(kvm.hint), err);
}

void qemu_accel_clear(struct qemu_accel *accel)
{
	free(accel->reason);
	free(accel->hint);
	*accel = (struct qemu_accel){0};
}
