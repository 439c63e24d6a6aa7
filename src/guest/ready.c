/*
 * A child looks, in the machine's mounts, where a path may block. It writes a line whenever what is waited for has
 * changed, and ends when the init is up. Nothing of what it looks at makes an event, so it looks again and again; at
 * files of /proc and of a tmpfs mostly, which costs no more than a start can bear.
 *
 * An image's init may be a script that becomes something else. As long as it is one, nobody can tell what it will be,
 * so it counts as up when it has been the same for a while.
 */
#include "guest/ready.h"

#include "base/file.h"
#include "guest/phase.h"
#include "guest/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { LOOK_EVERY_MS = 100, LOOKS_UP = 2, LOOKS_UNKNOWN = 10 };

struct ready {
	const struct ready_callbacks *callbacks;
	void *data;
	pid_t pid; /* of the child, or 0 */
	int pipe;
	struct loop_source *child, *lines;
	char line[PHASE_WHAT_MAX];
	size_t length;
};

static void watch(int root, int out)
{
	struct phase now, before = {0};
	unsigned same = 0;

	for (;;) {
		phase_look(&now, root);
		same = now.kind == before.kind ? same + 1 : 1;
		if ((now.kind == PHASE_UP && same >= LOOKS_UP) || (now.kind == PHASE_UNKNOWN && same >= LOOKS_UNKNOWN))
			return;
		if (now.kind == PHASE_STARTING && now.what[0] && strcmp(now.what, before.what) != 0 &&
		    (file_write_all(out, now.what, strlen(now.what)) < 0 || file_write_all(out, "\n", 1) < 0))
			return;
		before = now;
		poll(NULL, 0, LOOK_EVERY_MS);
	}
}

_Noreturn static void child(int init_pidfd, int out)
{
	int root;

	process_reset();
	if (setns(init_pidfd, CLONE_NEWNS) < 0)
		_exit(1);
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		_exit(1);
	watch(root, out);
	_exit(0);
}

static void on_lines(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct ready *ready = data;
	char bytes[256];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		loop_source_watch(source, 0);
	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] != '\n' && ready->length < sizeof(ready->line) - 1)
			ready->line[ready->length++] = bytes[i];
		if (bytes[i] != '\n')
			continue;
		ready->line[ready->length] = '\0';
		ready->length = 0;
		ready->callbacks->on_waiting(ready->line, ready->data);
	}
}

/* However it has ended, nobody is left who could tell more. */
static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct ready *ready = data;

	(void)source;
	(void)pid;
	(void)status;
	ready->pid = 0;
	ready->callbacks->on_up(ready->data);
}

static int start(struct ready *ready, struct loop *loop, int init_pidfd)
{
	int pipes[2], result;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -errno;
	ready->pipe = pipes[0];
	result = fcntl(ready->pipe, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (result == 0)
		ready->pid = fork();
	if (result == 0 && ready->pid == 0)
		child(init_pidfd, pipes[1]);
	if (result == 0 && ready->pid < 0)
		result = -errno;
	cleanup_close(&pipes[1]);
	if (result == 0)
		result = loop_add_child(&ready->child, loop, ready->pid, on_child, ready);
	return result < 0 ? result : loop_add_fd(&ready->lines, loop, ready->pipe, EPOLLIN, on_lines, ready);
}

int ready_new(struct ready **ret, struct loop *loop, int init_pidfd, const struct ready_callbacks *callbacks,
	      void *data)
{
	struct ready *ready = calloc(1, sizeof(*ready));
	int result;

	if (!ready)
		return -ENOMEM;
	*ready = (struct ready){.callbacks = callbacks, .data = data, .pipe = -1};
	result = start(ready, loop, init_pidfd);
	if (result < 0) {
		ready_free(ready);
		return result;
	}
	*ret = ready;
	return 0;
}

/* The child is killed, and reaped as a stray. */
void ready_free(struct ready *ready)
{
	if (!ready)
		return;
	loop_source_free(ready->child);
	loop_source_free(ready->lines);
	cleanup_close(&ready->pipe);
	if (ready->pid > 0)
		kill(ready->pid, SIGKILL);
	free(ready);
}

bool ready_has_child(const struct ready *ready, pid_t pid)
{
	return ready && pid > 0 && ready->pid == pid;
}
