#include "test.h"

#include "qemu/failure.h"

#include <signal.h>
#include <string.h>

static char *const items[] = {(char *)"/usr/bin/qemu-system-x86_64", (char *)"-blockdev", (char *)"{\"a\": \"x: y\"}",
			      NULL};
static const struct text_list args = {.items = (char **)items, .count = 3};

static struct annex_error *explain(const char *output, int status)
{
	struct annex_error *err = NULL;

	assert_int_equal(qemu_failure(&err, &args, status, output), -1);
	assert_non_null(err);
	return err;
}

static void known_words_get_a_kind_and_a_meaning(void **state)
{
	static const struct {
		const char *output;
		enum annex_error_kind kind;
		const char *message;
	} cases[] = {
		{"qemu-system-x86_64: warning: slow\n"
		 "qemu-system-x86_64: -blockdev {\"a\": \"x: y\"}: Failed to get \"write\" lock\n"
		 "Is another process using the image [d]?\n",
		 ANNEX_ERROR_BUSY, "a disk is in use by another process (QEMU: Failed to get \"write\" lock)"},
		{"Could not access KVM kernel module: Permission denied\n"
		 "qemu-system-x86_64: -accel kvm: failed to initialize kvm: Permission denied\n",
		 ANNEX_ERROR_UNSUPPORTED,
		 "KVM can't be used (QEMU: Could not access KVM kernel module: Permission denied)"},
		{"qemu: could not open kernel file '/nope': No such file or directory\n", ANNEX_ERROR_NOT_FOUND,
		 "QEMU: could not open kernel file '/nope': No such file or directory"},
		{"qemu-system-x86_64: Error loading uncompressed kernel without PVH ELF Note\n",
		 ANNEX_ERROR_UNSUPPORTED,
		 "the kernel can't be booted (QEMU: Error loading uncompressed kernel without PVH ELF Note)"},
		{"qemu-system-x86_64: unable to map backing store for guest RAM: Cannot allocate memory\n",
		 ANNEX_ERROR_NO_MEMORY,
		 "the host has not enough memory (QEMU: unable to map backing store for guest RAM: Cannot allocate "
		 "memory)"},
		{"qemu-system-x86_64: -blockdev {\"a\": \"x: y\"}: Image is not in qcow2 format\n", ANNEX_ERROR_CORRUPT,
		 "a disk is damaged (QEMU: Image is not in qcow2 format)"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_error struct annex_error *err = explain(cases[i].output, 1 << 8);

		assert_int_equal(annex_error_kind(err), cases[i].kind);
		assert_string_equal(annex_error_message(err), cases[i].message);
	}
}

static void of_other_words_the_last_line_that_is_no_warning_is_passed_on(void **state)
{
	auto_error struct annex_error *err = explain("qemu-system-x86_64: -cpu foo: first\n"
						     "qemu-system-x86_64: unable to find CPU model 'foo'\n"
						     "qemu-system-x86_64: warning: late\n",
						     1 << 8);

	(void)state;
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_SYSTEM);
	assert_string_equal(annex_error_message(err), "QEMU: unable to find CPU model 'foo'");
}

static void a_silent_death_is_told_by_its_status(void **state)
{
	auto_error struct annex_error *killed = explain("", SIGKILL), *left = explain("\n", 3 << 8);

	(void)state;
	assert_string_equal(annex_error_message(killed), "QEMU was ended by signal 9 (Killed)");
	assert_non_null(annex_error_hint(killed));
	assert_string_equal(annex_error_message(left), "QEMU ended with status 3 and no word");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_words_get_a_kind_and_a_meaning),
		cmocka_unit_test(of_other_words_the_last_line_that_is_no_warning_is_passed_on),
		cmocka_unit_test(a_silent_death_is_told_by_its_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
