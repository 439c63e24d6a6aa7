#include "test.h"

#include "annex/vm.h"

#include "base/text.h"
#include "base/time.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* Annex's bare virtual machines, with the fake QEMU. */
struct scene {
	struct annex_context *context;
	struct annex_vm *vm;
	int console[2];
};

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	*state = scene;
	setenv("ANNEX_QEMU", TESTS_FOLDER "/fakes/qemu", 1);
	return !scene || pipe2(scene->console, O_CLOEXEC | O_NONBLOCK) < 0 ||
	       annex_context_new(&scene->context, NULL, NULL) < 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	annex_vm_free(scene->vm);
	annex_context_unref(scene->context);
	close(scene->console[0]);
	close(scene->console[1]);
	free(scene);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	return 0;
}

static void make(struct scene *scene, const char *behaviour)
{
	struct annex_vm_options options = ANNEX_VM_OPTIONS_INIT;

	setenv("FAKE_QEMU", behaviour, 1);
	options.kernel = "/k/vmlinux";
	options.accelerator = "tcg";
	options.console_fd = scene->console[1];
	options.disks = &(struct annex_vm_disk){"/d", "raw", "one", 0};
	options.disk_count = 1;
	assert_int_equal(annex_vm_new(&scene->vm, scene->context, &options, NULL), 0);
}

static void expect(struct scene *scene, enum annex_vm_event expected)
{
	auto_error struct annex_error *err = NULL;
	enum annex_vm_event event;

	assert_int_equal(annex_vm_wait(scene->vm, &event, 20000, &err), 0);
	assert_string_equal(annex_vm_event_name(event), annex_vm_event_name(expected));
}

static void expect_over(struct scene *scene)
{
	auto_error struct annex_error *err = NULL;
	enum annex_vm_event event;

	assert_int_equal(annex_vm_wait(scene->vm, &event, 0, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_BUSY);
	assert_int_equal(annex_vm_pid(scene->vm), 0);
}

static void a_machine_lives_and_powers_off(void **state)
{
	struct scene *scene = *state;
	char seen[64] = "";

	make(scene, "console=hello;reset");
	assert_int_equal(annex_vm_start(scene->vm, NULL), 0);
	expect(scene, ANNEX_VM_STARTED);
	expect(scene, ANNEX_VM_RESET);
	expect(scene, ANNEX_VM_POWERED_OFF);
	expect(scene, ANNEX_VM_ENDED);
	expect_over(scene);
	assert_int_equal(read(scene->console[0], seen, sizeof(seen) - 1), 5);
	assert_string_equal(seen, "hello");
}

static void a_machine_can_be_started_again(void **state)
{
	struct scene *scene = *state;

	make(scene, "panic");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(annex_vm_start(scene->vm, NULL), 0);
		expect(scene, ANNEX_VM_STARTED);
		expect(scene, ANNEX_VM_PANICKED);
		expect(scene, ANNEX_VM_ENDED);
		expect_over(scene);
	}
}

static void it_pauses_resumes_and_stops(void **state)
{
	auto_error struct annex_error *err = NULL;
	struct scene *scene = *state;

	make(scene, "");
	assert_int_equal(annex_vm_start(scene->vm, NULL), 0);
	assert_true(annex_vm_pid(scene->vm) > 0);
	assert_int_equal(annex_vm_start(scene->vm, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_BUSY);
	assert_int_equal(annex_vm_pause(scene->vm, NULL), 0);
	assert_int_equal(annex_vm_resume(scene->vm, NULL), 0);
	assert_int_equal(annex_vm_stop(scene->vm, 20000, NULL), 0);
	expect(scene, ANNEX_VM_STARTED);
	expect(scene, ANNEX_VM_PAUSED);
	expect(scene, ANNEX_VM_RESUMED);
	expect(scene, ANNEX_VM_POWERED_OFF);
	expect(scene, ANNEX_VM_ENDED);
	assert_int_equal(annex_vm_stop(scene->vm, 0, NULL), 0);
}

static void a_guest_that_ignores_the_button_is_ended(void **state)
{
	struct scene *scene = *state;

	make(scene, "deaf");
	assert_int_equal(annex_vm_start(scene->vm, NULL), 0);
	assert_int_equal(annex_vm_stop(scene->vm, 50, NULL), 0);
	expect(scene, ANNEX_VM_STARTED);
	expect(scene, ANNEX_VM_ENDED);
}

static void a_start_that_fails_says_why(void **state)
{
	auto_error struct annex_error *err = NULL;
	struct scene *scene = *state;

	make(scene, "fail=Failed to get \"write\" lock");
	assert_int_equal(annex_vm_start(scene->vm, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_BUSY);
	expect_over(scene);
}

static void waiting_ends_in_time_and_when_cancelled(void **state)
{
	auto_error struct annex_error *late = NULL, *cancelled = NULL;
	uint64_t start = time_monotonic_ms();
	struct scene *scene = *state;
	enum annex_vm_event event;

	make(scene, "");
	assert_int_equal(annex_vm_start(scene->vm, NULL), 0);
	expect(scene, ANNEX_VM_STARTED);
	start = time_monotonic_ms();
	assert_int_equal(annex_vm_wait(scene->vm, &event, 50, &late), -1);
	assert_int_equal(annex_error_kind(late), ANNEX_ERROR_TIMEOUT);
	assert_true(time_monotonic_ms() - start >= 49);
	annex_context_cancel(scene->context);
	assert_int_equal(annex_vm_wait(scene->vm, &event, -1, &cancelled), -1);
	assert_int_equal(annex_error_kind(cancelled), ANNEX_ERROR_CANCELLED);
}

static void another_loop_can_watch_it(void **state)
{
	struct pollfd outer = {.events = POLLIN};
	struct scene *scene = *state;
	bool over = false;

	make(scene, "off");
	assert_int_equal(annex_vm_start(scene->vm, NULL), 0);
	outer.fd = annex_vm_fd(scene->vm);
	while (!over) {
		auto_error struct annex_error *err = NULL;
		enum annex_vm_event event;

		if (annex_vm_wait(scene->vm, &event, 0, &err) == 0) {
			over = event == ANNEX_VM_ENDED;
			continue;
		}
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_TIMEOUT);
		assert_int_equal(poll(&outer, 1, 20000), 1);
	}
}

static void wrong_options_are_refused_at_once(void **state)
{
	struct annex_vm_options options = ANNEX_VM_OPTIONS_INIT;
	auto_error struct annex_error *err = NULL;
	struct scene *scene = *state;

	options.accelerator = "carrier pigeon";
	assert_int_equal(annex_vm_new(&scene->vm, scene->context, &options, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
	assert_null(scene->vm);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_machine_lives_and_powers_off), TEST(a_machine_can_be_started_again),
		TEST(it_pauses_resumes_and_stops),    TEST(a_guest_that_ignores_the_button_is_ended),
		TEST(a_start_that_fails_says_why),    TEST(waiting_ends_in_time_and_when_cancelled),
		TEST(another_loop_can_watch_it),      TEST(wrong_options_are_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
