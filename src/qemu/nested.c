/*
 * Under emulation an x86 processor has AMD's virtualization (SVM), whatever the host's is. KVM hands on the host's if
 * its module allows that, which is a parameter of it. Elsewhere than on x86 QEMU's part of it is too young to rely on.
 */
#include "qemu/nested.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const char *const modules_of_kvm[] = {"kvm_intel", "kvm_amd"};

enum { PARAMETER_LIMIT = 64 };

/* 1 or 0; -ENOENT: the module is not loaded. */
static int read_parameter(const char *modules, const char *module)
{
	auto_free char *path = NULL, *value = NULL;
	int result;

	if (asprintf(&path, "%s/%s/parameters/nested", modules, module) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	result = file_read(&value, NULL, AT_FDCWD, path, PARAMETER_LIMIT);
	return result < 0 ? result : *value == 'Y' || *value == '1';
}

static int check_kvm(const char *modules, struct annex_error **err)
{
	for (size_t i = 0; i < COUNT_OF(modules_of_kvm); i++) {
		const char *module = modules_of_kvm[i];
		int allowed = read_parameter(modules, module);

		if (allowed > 0)
			return 0;
		if (allowed < 0)
			continue;
		fail(err, ANNEX_ERROR_UNSUPPORTED,
		     "virtual machines can't run inside: the host's %s does not allow it (nested=0)", module);
		return fail_hint(err,
				 "sudo modprobe -r %s && sudo modprobe %s nested=1, with all machines stopped; or "
				 "accel=tcg",
				 module, module);
	}
	fail(err, ANNEX_ERROR_UNSUPPORTED,
	     "virtual machines can't run inside: the host's KVM does not tell that it allows it");
	return fail_hint(err, "accel=tcg");
}

int qemu_nested_check(enum qemu_accel_kind kind, const char *architecture, const char *modules,
		      struct annex_error **err)
{
	if (strcmp(architecture, "x86_64") != 0) {
		fail(err, ANNEX_ERROR_UNSUPPORTED, "virtual machines can't run inside on this architecture (%s)",
		     architecture);
		return fail_hint(err, "virtualization=false");
	}
	return kind == QEMU_ACCEL_KVM ? check_kvm(modules, err) : 0;
}
