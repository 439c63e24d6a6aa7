#include "test.h"

#include "base/text.h"
#include "base/time.h"
#include "qemu/vm.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static const char *const names[] = {
	[QEMU_STARTED] = "started",   [QEMU_PAUSED] = "paused",     [QEMU_RESUMED] = "resumed", [QEMU_RESET] = "reset",
	[QEMU_PANICKED] = "panicked", [QEMU_SHUTDOWN] = "shutdown", [QEMU_IO_ERROR] = "io",     [QEMU_ENDED] = "ended",
};

/* A machine of the fake QEMU and what it told. */
struct scene {
	struct loop *loop;
	struct qemu_vm *vm;
	struct qemu_probe probe;
	struct text events;      /* "started shutdown:guest-shutdown " … */
	struct annex_error *why; /* of the end */
	int status;
	bool over, free_at_start;
};

static void on_event(struct qemu_vm *vm, const struct qemu_event *event, void *data)
{
	struct scene *scene = data;

	assert_ptr_equal(vm, scene->vm);
	text_printf(&scene->events, "%s%s%s ", names[event->kind], event->reason ? ":" : "",
		    event->reason ? event->reason : "");
	if (event->kind == QEMU_STARTED && scene->free_at_start) {
		qemu_vm_free(TAKE(scene->vm));
		scene->over = true;
	}
	if (event->kind != QEMU_ENDED)
		return;
	scene->over = true;
	scene->status = event->status;
	if (event->err)
		fail_relayed(&scene->why, annex_error_kind(event->err), 0, annex_error_message(event->err), NULL);
}

static void start(struct scene *scene, const char *behaviour)
{
	static const char *const ports[] = {"org.annex.guest"};
	struct qemu_config config = {.kernel = "/k",
				     .memory = QEMU_MEMORY_LEAST,
				     .cpus = 1,
				     .accel = QEMU_ACCEL_TCG,
				     .ports = ports,
				     .port_count = 1,
				     .console = true};
	auto_error struct annex_error *err = NULL;

	setenv("FAKE_QEMU", behaviour, 1);
	assert_int_equal(qemu_vm_start(&scene->vm, scene->loop, &scene->probe, &config, on_event, scene, &err), 0);
	assert_true(qemu_vm_pid(scene->vm) > 0);
}

static const char *told(const struct scene *scene)
{
	return scene->events.data ? scene->events.data : "";
}

/* Until the events so far are these, or it is over. */
static void turn_until(struct scene *scene, const char *events)
{
	uint64_t deadline = time_monotonic_ms() + 20000;

	while (strcmp(told(scene), events) != 0 && !scene->over && time_monotonic_ms() < deadline)
		loop_turn(scene->loop, 100);
	assert_string_equal(told(scene), events);
}

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	*state = scene;
	if (!scene)
		return -1;
	scene->probe = (struct qemu_probe){.program = (char *)TESTS_FOLDER "/fakes/qemu", .version = (char *)"7.2.0"};
	return loop_new(&scene->loop);
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	qemu_vm_free(scene->vm);
	loop_free(scene->loop);
	text_clear(&scene->events);
	annex_error_free(scene->why);
	free(scene);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	return 0;
}

static void a_guest_that_powers_off_ends_well(void **state)
{
	struct scene *scene = *state;

	start(scene, "off");
	turn_until(scene, "started shutdown:guest-shutdown ended ");
	assert_null(scene->why);
	assert_true(WIFEXITED(scene->status) && WEXITSTATUS(scene->status) == 0);
	assert_int_equal(qemu_vm_pid(scene->vm), 0);
}

static void a_panic_is_told_and_ends_it(void **state)
{
	struct scene *scene = *state;

	start(scene, "panic");
	turn_until(scene, "started panicked shutdown:guest-panic ended ");
	assert_null(scene->why);
}

static void a_reset_is_told(void **state)
{
	struct scene *scene = *state;

	start(scene, "reset");
	turn_until(scene, "started reset:guest-reset shutdown:guest-shutdown ended ");
}

static void it_pauses_and_resumes(void **state)
{
	struct scene *scene = *state;

	start(scene, "");
	turn_until(scene, "started ");
	qemu_vm_pause(scene->vm);
	turn_until(scene, "started paused ");
	qemu_vm_resume(scene->vm);
	turn_until(scene, "started paused resumed ");
	qemu_vm_press_power(scene->vm);
	turn_until(scene, "started paused resumed shutdown:guest-shutdown ended ");
	assert_null(scene->why);
}

static void a_guest_that_ignores_the_power_button_is_quit(void **state)
{
	struct scene *scene = *state;

	start(scene, "deaf");
	turn_until(scene, "started ");
	qemu_vm_press_power(scene->vm);
	for (int i = 0; i < 5; i++)
		loop_turn(scene->loop, 20);
	assert_string_equal(told(scene), "started ");
	qemu_vm_quit(scene->vm);
	turn_until(scene, "started shutdown:host-qmp-quit ended ");
	assert_null(scene->why);
}

static void a_qemu_that_hangs_is_killed(void **state)
{
	struct scene *scene = *state;

	start(scene, "hang");
	turn_until(scene, "started ");
	qemu_vm_quit(scene->vm);
	for (int i = 0; i < 5; i++)
		loop_turn(scene->loop, 20);
	assert_string_equal(told(scene), "started ");
	qemu_vm_kill(scene->vm);
	turn_until(scene, "started ended ");
	assert_null(scene->why);
	assert_int_equal(WTERMSIG(scene->status), SIGKILL);
}

static void an_end_before_the_start_is_explained_by_its_words(void **state)
{
	struct scene *scene = *state;

	start(scene, "fail=-blockdev x: Failed to get \"write\" lock");
	turn_until(scene, "ended ");
	assert_int_equal(annex_error_kind(scene->why), ANNEX_ERROR_BUSY);
}

static void words_that_are_still_unread_at_the_death_count(void **state)
{
	enum { MUCH = 20000 };
	auto_text struct text behaviour = {0};
	struct scene *scene = *state;
	siginfo_t info;

	text_add(&behaviour, "fail=");
	while (behaviour.size < MUCH)
		text_add(&behaviour, "warning: nothing of interest\n");
	text_add(&behaviour, "Failed to get \"write\" lock");
	start(scene, behaviour.data);
	assert_int_equal(waitid(P_PID, (id_t)qemu_vm_pid(scene->vm), &info, WEXITED | WNOWAIT), 0);
	turn_until(scene, "ended ");
	assert_int_equal(annex_error_kind(scene->why), ANNEX_ERROR_BUSY);
}

static void a_sudden_death_is_an_error(void **state)
{
	struct scene *scene = *state;

	start(scene, "die");
	turn_until(scene, "started ended ");
	assert_non_null(scene->why);
	assert_non_null(strstr(annex_error_message(scene->why), "signal 9"));
}

static void a_garbled_control_link_ends_it(void **state)
{
	struct scene *scene = *state;

	start(scene, "garbage");
	turn_until(scene, "ended ");
	assert_int_equal(annex_error_kind(scene->why), ANNEX_ERROR_CORRUPT);
}

static void a_refused_start_ends_it(void **state)
{
	struct scene *scene = *state;

	start(scene, "refuse");
	turn_until(scene, "ended ");
	assert_string_equal(annex_error_message(scene->why), "QEMU: the guest is refused");
}

static void a_qemu_that_never_greets_can_be_quit(void **state)
{
	struct scene *scene = *state;

	start(scene, "mute");
	for (int i = 0; i < 5; i++)
		loop_turn(scene->loop, 20);
	assert_string_equal(told(scene), "");
	assert_false(qemu_vm_is_started(scene->vm));
	assert_int_equal(qemu_vm_execute(scene->vm, "stop", NULL, NULL, NULL), -ENOTCONN);
	qemu_vm_quit(scene->vm);
	turn_until(scene, "ended ");
	assert_null(scene->why);
}

static void a_broken_accelerator_is_recognised(void **state)
{
	struct scene *scene = *state;

	start(scene, "broken-kvm");
	turn_until(scene, "started ended ");
	assert_int_equal(annex_error_kind(scene->why), ANNEX_ERROR_UNSUPPORTED);
}

static void a_full_disk_pauses_the_guest_and_says_why(void **state)
{
	struct scene *scene = *state;

	start(scene, "full");
	turn_until(scene, "started io:nospace paused ");
}

static void expect_from(int fd, const char *text)
{
	char heard[64] = "";
	ssize_t n = read(fd, heard, sizeof(heard) - 1);

	assert_int_equal(n, (ssize_t)strlen(text));
	assert_string_equal(heard, text);
}

static void console_and_ports_are_the_callers(void **state)
{
	auto_close int console = -1, port = -1;
	struct scene *scene = *state;

	start(scene, "console=login:;port=hello");
	console = qemu_vm_take_console(scene->vm);
	port = qemu_vm_take_port(scene->vm, 0);
	assert_int_equal(qemu_vm_take_console(scene->vm), -1);
	assert_int_equal(qemu_vm_take_port(scene->vm, 0), -1);
	assert_int_equal(qemu_vm_take_port(scene->vm, 1), -1);
	turn_until(scene, "started ");
	expect_from(console, "login:");
	expect_from(port, "hello");
}

static void an_event_may_free_it(void **state)
{
	struct scene *scene = *state;

	start(scene, "off");
	scene->free_at_start = true;
	turn_until(scene, "started ");
	assert_null(scene->vm);
}

static void freeing_kills_it(void **state)
{
	struct scene *scene = *state;
	pid_t pid;

	start(scene, "hang");
	pid = qemu_vm_pid(scene->vm);
	qemu_vm_free(TAKE(scene->vm));
	assert_int_equal(kill(pid, 0), -1);
	assert_string_equal(told(scene), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_guest_that_powers_off_ends_well),
		TEST(a_panic_is_told_and_ends_it),
		TEST(a_reset_is_told),
		TEST(it_pauses_and_resumes),
		TEST(a_guest_that_ignores_the_power_button_is_quit),
		TEST(a_qemu_that_hangs_is_killed),
		TEST(an_end_before_the_start_is_explained_by_its_words),
		TEST(words_that_are_still_unread_at_the_death_count),
		TEST(a_sudden_death_is_an_error),
		TEST(a_garbled_control_link_ends_it),
		TEST(a_refused_start_ends_it),
		TEST(a_qemu_that_never_greets_can_be_quit),
		TEST(a_broken_accelerator_is_recognised),
		TEST(a_full_disk_pauses_the_guest_and_says_why),
		TEST(console_and_ports_are_the_callers),
		TEST(an_event_may_free_it),
		TEST(freeing_kills_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
