#include "test.h"

#include "base/digest.h"
#include "base/text.h"
#include "base/time.h"
#include "folder.h"
#include "unpack/report.h"
#include "unpack/unpacker.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Shell scripts stand in for annex-unpack: 0 is the control pipe, 3 takes reports, 4 is the request, 5 the disk. */
static struct unpacker *start_layers(const char *script, const struct rootfs_layer *layers, size_t count)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *program = path_join(folder, "unpack");
	auto_close int disk = memfd_create("disk", MFD_CLOEXEC);
	struct unpacker *unpacker = NULL;
	char text[2048];

	assert_true(program && disk >= 0 && strlen(script) < sizeof(text) - 16);
	snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
	assert_int_equal(file_write_atomic(AT_FDCWD, program, text, strlen(text), 0700), 0);
	assert_int_equal(unpacker_start(&unpacker, program, disk, layers, count, &err), 0);
	return unpacker;
}

static struct unpacker *start(const char *script)
{
	auto_close int index = memfd_create("index", MFD_CLOEXEC), blob = memfd_create("blob", MFD_CLOEXEC);
	const struct rootfs_layer layers[] = {
		{.source = ROOTFS_DECODE, .digest = DIGEST, .diff_id = DIGEST, .size = 100, .index = index, .fd = blob},
		{.source = ROOTFS_KEEP, .digest = DIGEST, .diff_id = DIGEST, .size = 200, .index = index},
	};

	assert_true(index >= 0 && blob >= 0 && write(blob, "blob", 4) == 4 && lseek(blob, 0, SEEK_SET) == 0);
	return start_layers(script, layers, COUNT_OF(layers));
}

/* Until it ends, or has nothing more to say: then `until` holds. */
static int listen_until(struct unpacker *unpacker, bool (*until)(const struct unpacker *), bool *ret_ended,
			struct annex_error **err)
{
	uint64_t deadline = time_monotonic_ms() + 20000;
	struct pollfd ready = {.fd = unpacker_fd(unpacker), .events = POLLIN};

	*ret_ended = false;
	while (!*ret_ended && !(until && until(unpacker))) {
		assert_true(time_monotonic_ms() < deadline);
		assert_true(poll(&ready, 1, 20000) == 1);
		if (unpacker_dispatch(unpacker, ret_ended, err) < 0)
			return -1;
	}
	return 0;
}

static void expect_good_end(struct unpacker *unpacker)
{
	auto_error struct annex_error *err = NULL;
	bool ended = false;

	if (listen_until(unpacker, NULL, &ended, &err) < 0)
		assert_string_equal(annex_error_message(err), "");
	assert_true(ended);
}

/* Runs the script, which must fail so. Returns whether it is discredited by that. */
static bool expect_failure(const char *script, enum annex_error_kind kind, const char *message)
{
	auto_unpacker struct unpacker *unpacker = start(script);
	auto_error struct annex_error *err = NULL;
	bool ended;

	assert_int_equal(listen_until(unpacker, NULL, &ended, &err), -1);
	assert_int_equal(annex_error_kind(err), kind);
	if (!strstr(annex_error_message(err), message))
		assert_string_equal(annex_error_message(err), message);
	return unpacker_is_discredited(unpacker);
}

static void what_it_says_is_taken_in(void **state)
{
	auto_unpacker struct unpacker *unpacker = start(
		"[ \"$(cat <&7)\" = blob ] || exit 9\n"
		"echo '{\"report\":\"progress\",\"done\":[50,0]}' >&3\n"
		"echo '{\"report\":\"progress\",\"done\":[60,200]}{\"report\"' | tr -d '\\n' | sed 's/}{/}\\n{/' >&3\n"
		"echo ':\"layer\",\"layer\":0}' >&3\n"
		"echo '{\"report\":\"finishing\"}' >&3; read wait <&0\n"
		"echo never >&3");
	bool ended;

	(void)state;
	assert_int_equal(listen_until(unpacker, unpacker_is_finishing, &ended, NULL), 0);
	assert_false(ended);
	assert_int_equal(unpacker_done(unpacker, 0), 100); /* complete */
	assert_int_equal(unpacker_done(unpacker, 1), 200);
	assert_true(unpacker_is_layer_done(unpacker, 0));
	assert_false(unpacker_is_layer_done(unpacker, 1));
}

static void it_ends_well(void **state)
{
	auto_unpacker struct unpacker *unpacker = start("echo '{\"report\":\"result\",\"size\":12345}' >&3");

	(void)state;
	expect_good_end(unpacker);
	assert_int_equal(unpacker_size(unpacker), 12345);
}

static void it_gets_the_request_the_disk_and_nothing_else(void **state)
{
	auto_unpacker struct unpacker *unpacker = NULL;
	auto_close int leak = open("/dev/null", O_RDONLY); /* not close-on-exec on purpose */

	(void)state;
	setenv("ANNEX_TEST_SECRET", "x", 1);
	unpacker = start("grep -q '\"source\":\"decode\".*\"blob\":7.*\"source\":\"keep\"' <&4 || exit 9\n"
			 "echo disk >&5 || exit 8\n"
			 "[ -z \"$ANNEX_TEST_SECRET\" ] || exit 7\n"
			 /* 9: the folder that is listed; 10: the script */
			 "cd /proc/self/fd && [ \"$(echo *)\" = '0 1 10 2 3 4 5 6 7 8 9' ] || exit 6\n"
			 "[ \"$(ps -o sid= -p $$ | tr -d ' ')\" = $$ ] || exit 5\n"
			 "echo '{\"report\":\"result\",\"size\":1}' >&3");
	unsetenv("ANNEX_TEST_SECRET");
	assert_true(leak >= 0);
	expect_good_end(unpacker);
}

static void its_error_is_ours(void **state)
{
	auto_unpacker struct unpacker *unpacker =
		start("echo '{\"report\":\"error\",\"kind\":1,\"errno\":28,\"message\":\"no "
		      "\\u001b[31mroom\",\"hint\":\"rm\"}' >&3");
	auto_error struct annex_error *err = NULL;
	bool ended;

	(void)state;
	assert_int_equal(listen_until(unpacker, NULL, &ended, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_SYSTEM);
	assert_int_equal(annex_error_errno(err), 28);
	assert_string_equal(annex_error_message(err), "no ?[31mroom");
	assert_string_equal(annex_error_hint(err), "rm");
	expect_failure("echo '{\"report\":\"error\",\"kind\":6,\"message\":\"log in\"}' >&3", ANNEX_ERROR_CORRUPT,
		       "log in");
}

static void a_death_is_told_by_its_signal_or_status(void **state)
{
	(void)state;
	expect_failure("kill -9 $$", ANNEX_ERROR_SYSTEM, "annex-unpack was killed by signal 9 (Killed)");
	expect_failure("kill -SEGV $$", ANNEX_ERROR_SYSTEM,
		       "annex-unpack was killed by signal 11 (Segmentation fault)");
	expect_failure("echo 'annex[1] 2.3: a debug error' >&2; echo ===== >&2; echo '==1==WARNING: x' >&2;"
		       "echo '==1==ERROR: AddressSanitizer' >&2; echo 'other error' >&2; exit 99",
		       ANNEX_ERROR_SYSTEM, "annex-unpack ended with status 99: ==1==ERROR: AddressSanitizer");
	expect_failure("echo '!' >&2; echo so what >&2; exit 1", ANNEX_ERROR_SYSTEM,
		       "annex-unpack ended with status 1: so what");
	expect_failure("exit 0", ANNEX_ERROR_SYSTEM, "annex-unpack ended without a result");
	expect_failure("echo '{\"report\":\"result\",\"size\":1}' >&3; exit 4", ANNEX_ERROR_SYSTEM,
		       "annex-unpack ended with status 4");
	expect_failure("exec 3>&-; exec sleep 1000", ANNEX_ERROR_SYSTEM, "killed by signal 9");
}

static void who_crashes_or_makes_no_sense_is_discredited(void **state)
{
	(void)state;
	assert_false(expect_failure("kill -9 $$", ANNEX_ERROR_SYSTEM, "signal 9"));
	assert_false(expect_failure("echo '{\"report\":\"error\",\"kind\":7,\"message\":\"damaged\"}' >&3",
				    ANNEX_ERROR_CORRUPT, "damaged"));
	assert_true(expect_failure("kill -SEGV $$", ANNEX_ERROR_SYSTEM, "signal 11"));
	assert_true(expect_failure("exit 99", ANNEX_ERROR_SYSTEM, "status 99"));
	assert_true(expect_failure("exit 0", ANNEX_ERROR_SYSTEM, "without a result"));
	assert_true(expect_failure("echo '{}' >&3", ANNEX_ERROR_CORRUPT, "makes no sense"));
	assert_true(expect_failure("echo '{\"report\":\"progress\",\"done\":[1000,0]}' >&3", ANNEX_ERROR_CORRUPT,
				   "impossible progress"));
	assert_true(expect_failure("head -c 100000 /dev/zero | tr '\\0' x >&3", ANNEX_ERROR_CORRUPT, "too long"));
}

static void nonsense_is_corrupt(void **state)
{
	static const char *const scripts[] = {
		"echo hello >&3; exec sleep 1000",
		"echo '{\"report\":\"layer\",\"layer\":2}' >&3; exec sleep 1000",
		"head -c 100000 /dev/zero | tr '\\0' x >&3; exec sleep 1000",
		"echo '{\"report\":\"progress\",\"done\":[101,0]}' >&3; exec sleep 1000",
		"for i in 50 49; do echo \"{\\\"report\\\":\\\"progress\\\",\\\"done\\\":[$i,0]}\"; done >&3; "
		"exec sleep 1000",
		"(echo '{\"report\":\"layer\",\"layer\":0}'; echo '{\"report\":\"progress\",\"done\":[99,0]}') >&3; "
		"exec sleep 1000",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(scripts); i++)
		expect_failure(scripts[i], ANNEX_ERROR_CORRUPT,
			       i < 3 ? "annex-unpack makes no sense" : "impossible progress");
}

static void it_may_complain_without_end(void **state)
{
	auto_unpacker struct unpacker *unpacker =
		start("yes complaint | head -c 1000000 >&2; echo '{\"report\":\"result\",\"size\":1}' >&3");

	(void)state;
	expect_good_end(unpacker);
}

static void talk_without_end_does_not_hold_up_the_listener(void **state)
{
	auto_unpacker struct unpacker *unpacker = start("yes '{\"report\":\"progress\",\"done\":[0,0]}' >&3");
	uint64_t begin = time_monotonic_ms();
	bool ended;

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(unpacker_dispatch(unpacker, &ended, NULL), 0);
	assert_true(time_monotonic_ms() - begin < 10000);
}

static void freeing_kills(void **state)
{
	auto_free char *path = path_join(folder, "pid"), *script = NULL, *text = NULL;
	struct unpacker *unpacker;
	uint32_t pid = 0;
	bool ended;

	(void)state;
	assert_true(asprintf(&script, "echo $$ > %s; echo '{\"report\":\"finishing\"}' >&3; exec sleep 1000", path) >
		    0);
	unpacker = start(script);
	assert_int_equal(listen_until(unpacker, unpacker_is_finishing, &ended, NULL), 0);
	unpacker_free(unpacker);
	assert_int_equal(file_read(&text, NULL, AT_FDCWD, path, 64), 0);
	text[strcspn(text, "\n")] = '\0';
	assert_int_equal(text_to_u32(&pid, text, 10), 0);
	assert_int_equal(kill((pid_t)pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	unpacker_free(NULL);
}

static void an_image_of_many_layers_gets_all_its_descriptors(void **state)
{
	enum { MANY = 512 };
	auto_close int fd = memfd_create("any", MFD_CLOEXEC);
	auto_free struct rootfs_layer *layers = calloc(MANY, sizeof(*layers));
	auto_unpacker struct unpacker *unpacker = NULL;
	struct rlimit was;

	(void)state;
	assert_non_null(layers);
	for (size_t i = 0; i < MANY; i++)
		layers[i] = (struct rootfs_layer){.source = ROOTFS_COPY,
						  .digest = DIGEST,
						  .diff_id = DIGEST,
						  .index = fd,
						  .donor_index = fd,
						  .donor_disk = fd};
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(was.rlim_max >= 4096);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){1024, was.rlim_max}), 0);
	unpacker = start_layers("[ -e /proc/self/fd/1541 ] || exit 1; echo "
				"'{\"report\":\"result\",\"size\":1}' >&3",
				layers, MANY);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	expect_good_end(unpacker);
}

static void a_missing_program_is_said(void **state)
{
	auto_error struct annex_error *err = NULL;
	struct unpacker *unpacker = NULL;

	(void)state;
	assert_int_equal(unpacker_start(&unpacker, "/no/such/annex-unpack", 0, NULL, 0, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
	assert_null(unpacker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_says_is_taken_in),
		cmocka_unit_test(it_ends_well),
		cmocka_unit_test(it_gets_the_request_the_disk_and_nothing_else),
		cmocka_unit_test(its_error_is_ours),
		cmocka_unit_test(a_death_is_told_by_its_signal_or_status),
		cmocka_unit_test(who_crashes_or_makes_no_sense_is_discredited),
		cmocka_unit_test(nonsense_is_corrupt),
		cmocka_unit_test(it_may_complain_without_end),
		cmocka_unit_test(talk_without_end_does_not_hold_up_the_listener),
		cmocka_unit_test(freeing_kills),
		cmocka_unit_test(an_image_of_many_layers_gets_all_its_descriptors),
		cmocka_unit_test(a_missing_program_is_said),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
