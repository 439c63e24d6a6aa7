#include "test.h"

#include "base/spawn.h"
#include "base/time.h"
#include "loop/loop.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

/* What a test's callbacks share. */
struct scene {
	struct loop *loop;
	struct loop_source *first, *second;
	char order[16];
	size_t calls;
	int seen;
};

static void note(struct scene *scene, char what)
{
	assert_true(scene->calls < sizeof(scene->order) - 1);
	scene->order[scene->calls++] = what;
}

static void on_timer_a(struct loop_source *source, void *data)
{
	(void)source;
	note(data, 'a');
}

static void on_timer_b(struct loop_source *source, void *data)
{
	struct scene *scene = data;

	(void)source;
	note(scene, 'b');
	loop_stop(scene->loop, 7);
}

static void timers_run_in_the_order_of_their_deadlines(void **state)
{
	struct scene scene = {0};
	struct loop_source *a, *b;
	uint64_t start = time_monotonic_ms();

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	assert_int_equal(loop_add_timer(&b, scene.loop, 30, on_timer_b, &scene), 0);
	assert_int_equal(loop_add_timer(&a, scene.loop, 10, on_timer_a, &scene), 0);
	assert_int_equal(loop_run(scene.loop), 7);
	assert_string_equal(scene.order, "ab");
	assert_true(time_monotonic_ms() - start >= 29);
	assert_false(loop_turn(scene.loop, 0));
	loop_timer_restart(a, 0);
	assert_true(loop_turn(scene.loop, 1000));
	assert_string_equal(scene.order, "aba");
	loop_source_free(a);
	loop_source_free(b);
	loop_free(scene.loop);
}

static void on_timer_again(struct loop_source *source, void *data)
{
	note(data, 'x');
	loop_timer_restart(source, 0);
}

static void a_timer_set_in_a_turn_waits_for_the_next(void **state)
{
	struct scene scene = {0};

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	assert_int_equal(loop_add_timer(&scene.first, scene.loop, 0, on_timer_again, &scene), 0);
	assert_true(loop_turn(scene.loop, 1000));
	assert_int_equal(scene.calls, 1);
	assert_true(loop_turn(scene.loop, 1000));
	assert_int_equal(scene.calls, 2);
	loop_source_free(scene.first);
	loop_free(scene.loop);
}

static void on_deferred_b(struct loop_source *source, void *data)
{
	struct scene *scene = data;

	note(scene, 'b');
	if (scene->seen++ == 0)
		loop_defer(source);
}

static void on_timer_defer(struct loop_source *source, void *data)
{
	struct scene *scene = data;

	(void)source;
	note(scene, 't');
	loop_defer(scene->first);
	loop_defer(scene->first);
	loop_defer(scene->second);
}

static void what_is_deferred_runs_once_at_the_end_of_the_turn(void **state)
{
	struct scene scene = {0};
	struct loop_source *timers[2];

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	assert_int_equal(loop_add_deferred(&scene.first, scene.loop, on_timer_a, &scene), 0);
	assert_int_equal(loop_add_deferred(&scene.second, scene.loop, on_deferred_b, &scene), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(loop_add_timer(&timers[i], scene.loop, 0, on_timer_defer, &scene), 0);
	assert_true(loop_turn(scene.loop, 1000));
	assert_string_equal(scene.order, "ttba");
	assert_true(loop_turn(scene.loop, 1000)); /* what was deferred by what was */
	assert_string_equal(scene.order, "ttbab");
	assert_false(loop_turn(scene.loop, 0));
	loop_defer(scene.first); /* outside of a turn: the next one doesn't wait */
	assert_true(loop_turn(scene.loop, 1000));
	assert_string_equal(scene.order, "ttbaba");
	loop_defer(scene.first);
	loop_source_free(scene.first);
	assert_false(loop_turn(scene.loop, 0));
	for (int i = 0; i < 2; i++)
		loop_source_free(timers[i]);
	loop_source_free(scene.second);
	loop_free(scene.loop);
}

static void on_fd_free_both(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct scene *scene = data;

	(void)source, (void)fd, (void)events;
	note(scene, 'f');
	loop_source_free(scene->first);
	loop_source_free(scene->second);
}

static void a_callback_may_free_itself_and_others(void **state)
{
	struct scene scene = {0};
	int pipes[2];

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(loop_add_fd(&scene.first, scene.loop, pipes[0], EPOLLIN, on_fd_free_both, &scene), 0);
	assert_int_equal(loop_add_fd(&scene.second, scene.loop, pipes[1], EPOLLOUT, on_fd_free_both, &scene), 0);
	assert_true(loop_turn(scene.loop, 1000));
	assert_int_equal(scene.calls, 1); /* both were ready: the other one must not run any more */
	loop_free(scene.loop);
	close(pipes[0]);
	close(pipes[1]);
}

static void on_fd_quiet_other(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct scene *scene = data;

	(void)fd, (void)events;
	note(scene, 'q');
	loop_source_watch(source == scene->first ? scene->second : scene->first, 0);
}

static void what_is_no_longer_watched_is_not_told_in_the_same_turn(void **state)
{
	struct scene scene = {0};
	int pipes[2];

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(loop_add_fd(&scene.first, scene.loop, pipes[0], EPOLLIN, on_fd_quiet_other, &scene), 0);
	assert_int_equal(loop_add_fd(&scene.second, scene.loop, pipes[1], EPOLLOUT, on_fd_quiet_other, &scene), 0);
	assert_true(loop_turn(scene.loop, 1000));
	assert_int_equal(scene.calls, 1);
	loop_source_free(scene.first);
	loop_source_free(scene.second);
	loop_free(scene.loop);
	close(pipes[0]);
	close(pipes[1]);
}

static void on_fd(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct scene *scene = data;

	(void)source, (void)fd;
	scene->seen = (int)events;
	note(scene, 'f');
}

static void a_hang_up_is_not_told_while_nothing_is_watched(void **state)
{
	struct scene scene = {0};
	int pipes[2];

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(loop_add_fd(&scene.first, scene.loop, pipes[0], EPOLLIN, on_fd, &scene), 0);
	loop_source_watch(scene.first, 0);
	close(pipes[1]);
	assert_false(loop_turn(scene.loop, 20));
	loop_source_watch(scene.first, EPOLLIN);
	assert_true(loop_turn(scene.loop, 1000));
	assert_true(scene.seen & EPOLLHUP);
	loop_source_free(scene.first);
	loop_free(scene.loop);
	close(pipes[0]);
}

static void a_regular_file_is_always_ready(void **state)
{
	struct scene scene = {0};
	struct pollfd outer = {.events = POLLIN};
	auto_close int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	assert_int_equal(loop_add_fd(&scene.first, scene.loop, fd, EPOLLIN, on_fd, &scene), 0);
	outer.fd = loop_fd(scene.loop);
	for (size_t i = 1; i <= 3; i++) {
		assert_int_equal(poll(&outer, 1, 1000), 1);
		assert_true(loop_turn(scene.loop, 1000));
		assert_int_equal(scene.calls, i);
	}
	loop_source_watch(scene.first, 0);
	assert_false(loop_turn(scene.loop, 20));
	loop_source_free(scene.first);
	loop_free(scene.loop);
}

static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct scene *scene = data;

	(void)pid;
	scene->seen = status;
	loop_source_free(source);
	loop_stop(scene->loop, 0);
}

static int status_of(const char *script)
{
	struct scene scene = {.seen = -1};
	auto_error struct annex_error *err = NULL;
	pid_t pid;

	assert_int_equal(loop_new(&scene.loop), 0);
	assert_int_equal(spawn(&pid, NULL,
			       &(struct spawn_options){.argv = (const char *const[]){"sh", "-c", script, NULL}}, &err),
			 0);
	assert_int_equal(loop_add_child(&scene.first, scene.loop, pid, on_child, &scene), 0);
	loop_run(scene.loop);
	loop_free(scene.loop);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* reaped */
	return scene.seen;
}

static void the_end_of_a_child_is_told_with_its_status(void **state)
{
	int status = status_of("sleep 0.02; exit 5");

	(void)state;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	status = status_of("kill -TERM $$");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void on_signal(struct loop_source *source, int signal, void *data)
{
	struct scene *scene = data;

	(void)source;
	scene->seen = signal;
	note(scene, 's');
}

static void a_signal_is_told(void **state)
{
	struct scene scene = {0};

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	assert_int_equal(loop_add_signal(&scene.first, scene.loop, SIGUSR1, on_signal, &scene), 0);
	assert_false(loop_turn(scene.loop, 0));
	raise(SIGUSR1);
	assert_true(loop_turn(scene.loop, 1000));
	assert_int_equal(scene.seen, SIGUSR1);
	assert_int_equal(scene.calls, 1);
	loop_source_free(scene.first);
	loop_free(scene.loop);
}

static void the_loop_can_be_watched_by_another(void **state)
{
	struct scene scene = {0};
	struct pollfd outer = {.events = POLLIN};

	(void)state;
	assert_int_equal(loop_new(&scene.loop), 0);
	outer.fd = loop_fd(scene.loop);
	assert_int_equal(poll(&outer, 1, 0), 0);
	assert_int_equal(loop_add_timer(&scene.first, scene.loop, 10, on_timer_a, &scene), 0);
	assert_int_equal(poll(&outer, 1, 1000), 1);
	assert_true(loop_turn(scene.loop, 0));
	assert_int_equal(poll(&outer, 1, 0), 0);
	assert_string_equal(scene.order, "a");
	loop_source_free(scene.first);
	loop_free(scene.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_run_in_the_order_of_their_deadlines),
		cmocka_unit_test(a_timer_set_in_a_turn_waits_for_the_next),
		cmocka_unit_test(what_is_deferred_runs_once_at_the_end_of_the_turn),
		cmocka_unit_test(a_callback_may_free_itself_and_others),
		cmocka_unit_test(what_is_no_longer_watched_is_not_told_in_the_same_turn),
		cmocka_unit_test(a_hang_up_is_not_told_while_nothing_is_watched),
		cmocka_unit_test(a_regular_file_is_always_ready),
		cmocka_unit_test(the_end_of_a_child_is_told_with_its_status),
		cmocka_unit_test(a_signal_is_told),
		cmocka_unit_test(the_loop_can_be_watched_by_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
