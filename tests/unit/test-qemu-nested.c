#include "test.h"

#include "folder.h"
#include "qemu/nested.h"

#include <stdio.h>

#define modules folder /* in /sys/module's place */

static void set_nested(const char *module, const char *value)
{
	auto_free char *parameters = NULL, *path = NULL;

	assert_true(asprintf(&parameters, "%s/%s/parameters", modules, module) > 0);
	assert_true(asprintf(&path, "%s/nested", parameters) > 0);
	assert_int_equal(file_make_folders(parameters, 0755), 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, value, strlen(value), 0644), 0);
}

static void forget(const char *module)
{
	auto_free char *path = path_join(modules, module);

	assert_int_equal(file_remove_tree(AT_FDCWD, path), 0);
}

static void emulation_has_virtualization_on_x86_only(void **state)
{
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(qemu_nested_check(QEMU_ACCEL_TCG, "x86_64", "/nowhere", &err), 0);
	assert_int_equal(qemu_nested_check(QEMU_ACCEL_TCG, "aarch64", modules, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_UNSUPPORTED);
	assert_non_null(strstr(annex_error_message(err), "aarch64"));
	assert_non_null(annex_error_hint(err));
}

static void kvm_hands_virtualization_on_where_its_module_allows(void **state)
{
	auto_error struct annex_error *err = NULL;

	(void)state;
	set_nested("kvm_intel", "Y\n");
	assert_int_equal(qemu_nested_check(QEMU_ACCEL_KVM, "x86_64", modules, &err), 0);
	forget("kvm_intel");
	set_nested("kvm_amd", "1\n");
	assert_int_equal(qemu_nested_check(QEMU_ACCEL_KVM, "x86_64", modules, &err), 0);
	forget("kvm_amd");
}

static void kvm_that_does_not_allow_it_is_named_with_what_helps(void **state)
{
	auto_error struct annex_error *intel = NULL, *amd = NULL, *none = NULL;

	(void)state;
	set_nested("kvm_intel", "N\n");
	assert_int_equal(qemu_nested_check(QEMU_ACCEL_KVM, "x86_64", modules, &intel), -1);
	assert_int_equal(annex_error_kind(intel), ANNEX_ERROR_UNSUPPORTED);
	assert_non_null(strstr(annex_error_message(intel), "kvm_intel"));
	assert_non_null(strstr(annex_error_hint(intel), "modprobe kvm_intel nested=1"));
	forget("kvm_intel");
	set_nested("kvm_amd", "0\n");
	assert_int_equal(qemu_nested_check(QEMU_ACCEL_KVM, "x86_64", modules, &amd), -1);
	assert_non_null(strstr(annex_error_message(amd), "kvm_amd"));
	forget("kvm_amd");
	assert_int_equal(qemu_nested_check(QEMU_ACCEL_KVM, "x86_64", modules, &none), -1);
	assert_int_equal(annex_error_kind(none), ANNEX_ERROR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(emulation_has_virtualization_on_x86_only),
		cmocka_unit_test(kvm_hands_virtualization_on_where_its_module_allows),
		cmocka_unit_test(kvm_that_does_not_allow_it_is_named_with_what_helps),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
