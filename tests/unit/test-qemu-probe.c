#include "test.h"

#include "base/file.h"
#include "base/text.h"
#include "qemu/accel.h"
#include "qemu/probe.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define FAKE TESTS_FOLDER "/fakes/qemu"

static char folder[] = "/tmp/annex-test-probe-XXXXXX";

static int setup(void **state)
{
	(void)state;
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	unsetenv("FAKE_QEMU");
	setenv("ANNEX_QEMU", FAKE, 1);
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(AT_FDCWD, folder);
}

static void qemu_is_asked_for_what_it_can_do(void **state)
{
	auto_qemu_probe struct qemu_probe probe = {0};
	auto_error struct annex_error *err = NULL;
	struct utsname host;

	(void)state;
	setenv("FAKE_QEMU", "version=8.2.2", 1);
	assert_int_equal(qemu_probe(&probe, NULL, &err), 0);
	assert_string_equal(probe.program, FAKE);
	assert_string_equal(probe.version, "8.2.2");
	assert_int_equal(probe.major, 8);
	assert_int_equal(probe.minor, 2);
	assert_true(probe.kvm && probe.sandbox && probe.dgram);
	assert_int_equal(probe.grows, uname(&host) == 0 && strcmp(host.machine, "x86_64") == 0);
}

static void what_is_not_built_in_is_noticed(void **state)
{
	auto_qemu_probe struct qemu_probe probe = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	setenv("FAKE_QEMU", "without=sandbox;without=dgram;without=kvm;without=growth", 1);
	assert_int_equal(qemu_probe(&probe, NULL, &err), 0);
	assert_false(probe.kvm || probe.sandbox || probe.dgram || probe.grows);
}

static void an_old_qemu_is_refused_with_its_version(void **state)
{
	auto_qemu_probe struct qemu_probe probe = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	setenv("FAKE_QEMU", "version=6.2.0", 1);
	assert_int_equal(qemu_probe(&probe, folder, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_UNSUPPORTED);
	assert_non_null(strstr(annex_error_message(err), "6.2.0"));
	assert_null(probe.program);
}

static void another_program_is_not_taken_for_qemu(void **state)
{
	auto_qemu_probe struct qemu_probe probe = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	setenv("ANNEX_QEMU", "/bin/true", 1);
	assert_int_equal(qemu_probe(&probe, NULL, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_UNSUPPORTED);
}

static void a_missing_qemu_is_not_found_and_the_hint_says_what_to_install(void **state)
{
	auto_error struct annex_error *err = NULL, *err2 = NULL;
	auto_qemu_probe struct qemu_probe probe = {0};
	auto_free char *path = strdup(getenv("PATH"));

	(void)state;
	setenv("ANNEX_QEMU", "/no/such/qemu", 1);
	assert_int_equal(qemu_probe(&probe, NULL, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
	unsetenv("ANNEX_QEMU");
	setenv("PATH", "/no/such/folder", 1);
	assert_int_equal(qemu_probe(&probe, NULL, &err2), -1);
	setenv("PATH", path, 1);
	assert_int_equal(annex_error_kind(err2), ANNEX_ERROR_NOT_FOUND);
	assert_non_null(strstr(annex_error_hint(err2), "install qemu-system-"));
}

/* A script whose answers can be told from the fake's, and whose file can change. */
static void write_program(const char *path, const char *version)
{
	auto_free char *script = NULL;

	assert_true(asprintf(&script, "#!/bin/sh\nFAKE_QEMU=version=%s exec %s \"$@\"\n", version, FAKE) > 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, script, strlen(script), 0755), 0);
}

static void what_was_found_out_is_kept_until_the_program_changes(void **state)
{
	auto_free char *program = path_join(folder, "program"), *cache = path_join(folder, "qemu.json");
	auto_qemu_probe struct qemu_probe first = {0}, second = {0}, third = {0}, fourth = {0};
	auto_error struct annex_error *err = NULL;
	auto_free char *kept = NULL;
	char *at;

	(void)state;
	write_program(program, "7.1.9");
	setenv("ANNEX_QEMU", program, 1);
	assert_int_equal(qemu_probe(&first, folder, &err), 0);
	assert_string_equal(first.version, "7.1.9");
	/* Only the file can say 7.1.3. */
	assert_int_equal(file_read(&kept, NULL, AT_FDCWD, cache, 4096), 0);
	at = strstr(kept, "7.1.9");
	assert_non_null(at);
	at[4] = '3';
	assert_int_equal(file_write_atomic(AT_FDCWD, cache, kept, strlen(kept), 0600), 0);
	assert_int_equal(qemu_probe(&second, folder, &err), 0);
	assert_string_equal(second.version, "7.1.3");
	write_program(program, "10.1.0");
	assert_int_equal(qemu_probe(&third, folder, &err), 0);
	assert_string_equal(third.version, "10.1.0");
	assert_int_equal(file_write_atomic(AT_FDCWD, cache, "{nonsense", 9, 0600), 0);
	assert_int_equal(qemu_probe(&fourth, folder, &err), 0);
	assert_string_equal(fourth.version, "10.1.0");
}

static void write_cpuinfo(const char *path, const char *flags)
{
	auto_free char *text = NULL;

	assert_true(asprintf(&text, "processor\t: 0\nmodel name\t: x\nflags\t\t: %s\nbugs\t\t: svm\n\n", flags) > 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static void a_missing_kvm_is_explained_by_the_processor(void **state)
{
	static const struct {
		const char *flags, *hint;
	} cases[] = {
		{"fpu vmx sse", "modprobe kvm_intel"},
		{"fpu sse svm", "modprobe kvm_amd"},
		{"fpu vmx_not svmx", "firmware"},
	};
	auto_free char *cpuinfo = path_join(folder, "cpuinfo");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_qemu_kvm struct qemu_kvm kvm = {0};

		write_cpuinfo(cpuinfo, cases[i].flags);
		assert_int_equal(qemu_kvm_check(&kvm, "/no/kvm", cpuinfo), 0);
		assert_false(kvm.opens || kvm.boots);
		assert_non_null(strstr(kvm.reason, "/no/kvm"));
		assert_non_null(strstr(kvm.hint, cases[i].hint));
	}
}

static void a_permission_is_asked_for_only_where_it_would_help(void **state)
{
	static const struct {
		const char *flags, *hint;
	} cases[] = {{"fpu vmx", "sudo "}, {"fpu", "nested"}};
	auto_free char *cpuinfo = path_join(folder, "cpuinfo"), *device = path_join(folder, "kvm");
	uid_t user = geteuid();

	(void)state;
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, device, "", 0, 0), 0);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_qemu_kvm struct qemu_kvm kvm = {0};

		write_cpuinfo(cpuinfo, cases[i].flags);
		assert_int_equal(chmod(cpuinfo, 0644), 0);
		assert_int_equal(user == 0 ? seteuid(65534) : 0, 0);
		assert_int_equal(qemu_kvm_check(&kvm, device, cpuinfo), 0);
		assert_int_equal(user == 0 ? seteuid(0) : 0, 0);
		assert_false(kvm.opens || kvm.boots);
		assert_non_null(strstr(kvm.reason, "may not be opened"));
		assert_non_null(strstr(kvm.hint, cases[i].hint));
	}
}

static void a_device_that_is_not_kvm_is_not_taken(void **state)
{
	auto_free char *cpuinfo = path_join(folder, "cpuinfo");
	auto_qemu_kvm struct qemu_kvm kvm = {0};

	(void)state;
	write_cpuinfo(cpuinfo, "vmx");
	assert_int_equal(qemu_kvm_check(&kvm, "/dev/null", cpuinfo), 0);
	assert_false(kvm.opens || kvm.boots);
}

static void emulation_can_be_asked_for(void **state)
{
	auto_qemu_accel struct qemu_accel accel = {0};
	auto_error struct annex_error *err = NULL;
	enum qemu_accel_kind kind;

	(void)state;
	assert_int_equal(qemu_accel_parse(&kind, "tcg", &err), 0);
	assert_int_equal(qemu_accel_choose(&accel, &(struct qemu_probe){.kvm = true}, kind, &err), 0);
	assert_int_equal(accel.kind, QEMU_ACCEL_TCG);
	assert_true(accel.slowness > 1);
	assert_int_equal(qemu_accel_parse(&kind, "xen", &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
}

static void a_qemu_without_kvm_emulates_and_says_so(void **state)
{
	struct qemu_probe probe = {.program = (char *)"/opt/qemu"};
	auto_qemu_accel struct qemu_accel accel = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(qemu_accel_choose(&accel, &probe, QEMU_ACCEL_AUTO, &err), 0);
	assert_int_equal(accel.kind, QEMU_ACCEL_TCG);
	assert_string_equal(accel.reason, "/opt/qemu is built without KVM");
	assert_int_equal(qemu_accel_choose(&accel, &probe, QEMU_ACCEL_KVM, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(qemu_is_asked_for_what_it_can_do, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_built_in_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(an_old_qemu_is_refused_with_its_version, setup, teardown),
		cmocka_unit_test_setup_teardown(another_program_is_not_taken_for_qemu, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_qemu_is_not_found_and_the_hint_says_what_to_install, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_was_found_out_is_kept_until_the_program_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_kvm_is_explained_by_the_processor, setup, teardown),
		cmocka_unit_test_setup_teardown(a_permission_is_asked_for_only_where_it_would_help, setup, teardown),
		cmocka_unit_test_setup_teardown(a_device_that_is_not_kvm_is_not_taken, setup, teardown),
		cmocka_unit_test(emulation_can_be_asked_for),
		cmocka_unit_test(a_qemu_without_kvm_emulates_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
