#include "test.h"

#include "annex/doctor.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static char folder[] = "/tmp/annex-test-doctor-XXXXXX";
static struct annex_context *context;
static struct annex_doctor_finding *findings;
static size_t count;

static int setup(void **state)
{
	auto_free char *data = NULL;

	(void)state;
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	if (!mkdtemp(folder) || !(data = path_join(folder, "not/made/yet")))
		return -1;
	setenv("ANNEX_QEMU", TESTS_FOLDER "/fakes/qemu", 1);
	setenv("ANNEX_LIBEXECDIR", folder, 1);
	unsetenv("FAKE_QEMU");
	unsetenv("ANNEX_KERNEL");
	return annex_context_new(
		&context, &(struct annex_context_options){sizeof(struct annex_context_options), data, NULL, NULL},
		NULL);
}

static int teardown(void **state)
{
	(void)state;
	annex_doctor_free(findings, count);
	findings = NULL;
	annex_context_unref(context);
	return file_remove_tree(AT_FDCWD, folder);
}

/* The worst finding of a subject; every subject has one. */
static const struct annex_doctor_finding *find(const char *subject)
{
	const struct annex_doctor_finding *worst = NULL;

	for (size_t i = 0; i < count; i++) {
		if (strcmp(findings[i].subject, subject) == 0 && (!worst || findings[i].level > worst->level))
			worst = &findings[i];
	}
	assert_non_null(worst);
	assert_null(strchr(worst->text, '\n'));
	return worst;
}

static void look(void)
{
	assert_int_equal(annex_doctor(&findings, &count, context, NULL), 0);
}

static void every_subject_is_looked_at_and_nothing_is_made(void **state)
{
	static const char *const subjects[] = {"kvm",    "qemu",    "kernel",  "disk",
					       "limits", "helpers", "sandbox", "shares"};

	(void)state;
	look();
	for (size_t i = 0; i < COUNT_OF(subjects); i++)
		find(subjects[i]);
	assert_int_equal(find("qemu")->level, ANNEX_DOCTOR_GOOD);
	assert_non_null(strstr(find("qemu")->text, "7.2.0"));
	assert_false(file_exists(AT_FDCWD, annex_context_data_folder(context)));
}

static void a_missing_qemu_is_broken(void **state)
{
	(void)state;
	setenv("ANNEX_QEMU", "/no/such/qemu", 1);
	look();
	assert_int_equal(find("qemu")->level, ANNEX_DOCTOR_BROKEN);
	assert_non_null(find("qemu")->hint);
}

static void a_lesser_qemu_could_be_better(void **state)
{
	(void)state;
	setenv("FAKE_QEMU", "without=dgram", 1);
	look();
	assert_int_equal(find("qemu")->level, ANNEX_DOCTOR_COULD_BE_BETTER);
	assert_non_null(strstr(find("qemu")->text, "dgram"));
}

/* With a passt that calls itself so. */
static void look_with(const char *version)
{
	auto_free char *path = path_join(folder, "passt"), *text = NULL;

	assert_true(asprintf(&text, "#!/bin/sh\necho '%s'\n", version) > 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0755), 0);
	setenv("ANNEX_PASST", path, 1);
	look();
}

static void without_passt_the_network_could_be_better(void **state)
{
	(void)state;
	setenv("ANNEX_PASST", "/no/such/passt", 1);
	look();
	assert_int_equal(find("network")->level, ANNEX_DOCTOR_COULD_BE_BETTER);
	assert_non_null(find("network")->hint);
	annex_doctor_free(findings, count);
	findings = NULL;
	look_with("passt 0.0~git20230309.7c7625d-1");
	assert_int_equal(find("network")->level, ANNEX_DOCTOR_COULD_BE_BETTER);
	assert_non_null(strstr(find("network")->text, "git20230309"));
	annex_doctor_free(findings, count);
	findings = NULL;
	look_with("passt 2025_09_11.8a29a4f");
	unsetenv("ANNEX_PASST");
	assert_int_equal(find("network")->level, ANNEX_DOCTOR_GOOD);
	assert_non_null(strstr(find("network")->text, "passt"));
}

static void a_missing_kernel_is_broken_and_can_be_installed(void **state)
{
	(void)state;
	look();
	assert_int_equal(find("kernel")->level, ANNEX_DOCTOR_BROKEN);
	assert_non_null(strstr(find("kernel")->hint, "annex kernel install"));
}

static void missing_helpers_are_broken_until_they_are_there(void **state)
{
	static const char *const names[] = {"annex-supervisor", "annex-unpack", "annex-share", "annex-network",
					    "annex-guest"};

	(void)state;
	look();
	assert_int_equal(find("helpers")->level, ANNEX_DOCTOR_BROKEN);
	annex_doctor_free(findings, count);
	findings = NULL;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		auto_free char *path = path_join(folder, names[i]);

		assert_int_equal(file_write_atomic(AT_FDCWD, path, "#!/bin/sh\n", 10, 0755), 0);
	}
	look();
	assert_int_equal(find("helpers")->level, ANNEX_DOCTOR_GOOD);
}

static void low_limits_could_be_better(void **state)
{
	struct rlimit was, low;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	low = (struct rlimit){200, was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	look();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(find("limits")->level, ANNEX_DOCTOR_COULD_BE_BETTER);
	assert_string_equal(find("limits")->hint, "ulimit -n 1024");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_subject_is_looked_at_and_nothing_is_made),
		TEST(a_missing_qemu_is_broken),
		TEST(a_lesser_qemu_could_be_better),
		TEST(without_passt_the_network_could_be_better),
		TEST(a_missing_kernel_is_broken_and_can_be_installed),
		TEST(missing_helpers_are_broken_until_they_are_there),
		TEST(low_limits_could_be_better),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
