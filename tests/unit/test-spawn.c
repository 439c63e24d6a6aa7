#include "test.h"

#include "base/spawn.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void output_and_status_are_given(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *out = NULL, *errors = NULL;
	int status = 0;

	(void)state;
	assert_int_equal(spawn_capture(&out, &errors, &status,
				       (const char *const[]){"sh", "-c", "echo a; echo b >&2; exit 3", NULL}, 4096,
				       &err),
			 0);
	assert_string_equal(out, "a\n");
	assert_string_equal(errors, "b\n");
	assert_int_equal(WEXITSTATUS(status), 3);
}

static void a_missing_program_is_not_found(void **state)
{
	auto_error struct annex_error *err = NULL;
	pid_t pid;

	(void)state;
	assert_int_equal(spawn(&pid, NULL,
			       &(struct spawn_options){.argv = (const char *const[]){"no-such-program", NULL}}, &err),
			 -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
}

static void only_named_descriptors_are_passed(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_close int leak = open("/dev/null", O_RDONLY); /* not close-on-exec on purpose */
	auto_close int reader = -1, writer = -1;
	int pipes[2], status = 0;
	char seen[256];
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_true(leak >= 0 && pipe2(pipes, O_CLOEXEC) == 0);
	reader = pipes[0];
	writer = pipes[1];
	assert_int_equal(spawn(&pid, NULL,
			       &(struct spawn_options){
				       .argv = (const char *const[]){"sh", "-c", "cd /proc/self/fd; echo *", NULL},
				       .fds = (struct spawn_fd[]){{writer, 1}, {reader, 9}},
				       .fd_count = 2},
			       &err),
			 0);
	n = read(reader, seen, sizeof(seen) - 1);
	assert_true(n > 0);
	seen[n] = '\0';
	waitpid(pid, &status, 0);
	assert_string_equal(seen, "0 1 2 3 9\n"); /* 3 is the shell's own folder */
}

static int start_with_many(struct annex_error **err)
{
	enum { MANY = 700, FIRST = 3 };
	struct spawn_fd fds[MANY];
	int status = -1;
	pid_t pid;

	for (int i = 0; i < MANY; i++)
		fds[i] = (struct spawn_fd){STDERR_FILENO, FIRST + i};
	if (spawn(&pid, NULL,
		  &(struct spawn_options){
			  .argv = (const char *const[]){"sh", "-c",
							"[ -e /proc/self/fd/702 ] && [ ! -e "
							"/proc/self/fd/703 ] && [ $(ulimit -S -n) = 1024 ]",
							NULL},
			  .fds = fds,
			  .fd_count = MANY},
		  err) < 0)
		return -1;
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void many_descriptors_are_passed_as_far_as_the_hard_limit_allows(void **state)
{
	auto_error struct annex_error *err = NULL;
	struct rlimit was;
	int status = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(was.rlim_max >= 2048);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){1024, was.rlim_max}), 0);
	assert_int_equal(start_with_many(&err), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	if (fork() == 0) {
		if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){600, 600}) < 0)
			_exit(2);
		_exit(start_with_many(&err) == -1 && annex_error_errno(err) == EMFILE ? 0 : 1);
	}
	wait(&status);
	assert_int_equal(status, 0);
}

static void a_process_is_killed_only_if_it_is_the_one(void **state)
{
	auto_error struct annex_error *err = NULL;
	unsigned long long start;
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(
		spawn(&pid, NULL, &(struct spawn_options){.argv = (const char *const[]){"sleep", "1000", NULL}}, &err),
		0);
	start = spawn_start_time(pid);
	assert_true(start > 0);
	assert_int_equal(spawn_kill_exact(pid, start + 1), -ESRCH);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(spawn_kill_exact(pid, start), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_and_status_are_given),
		cmocka_unit_test(a_missing_program_is_not_found),
		cmocka_unit_test(only_named_descriptors_are_passed),
		cmocka_unit_test(many_descriptors_are_passed_as_far_as_the_hard_limit_allows),
		cmocka_unit_test(a_process_is_killed_only_if_it_is_the_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
