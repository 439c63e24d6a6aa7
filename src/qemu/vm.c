/*
 * Starting QEMU means: make a socket pair for QMP, the console and each port and a pipe for standard error, give QEMU
 * its ends at the numbers that the arguments name, and close them here. QEMU waits (-S) until QMP is negotiated, so
 * that no event of the guest is missed; "cont" then starts the guest.
 *
 * The end has three parts that come in any order: the child is reaped, QMP ends, standard error ends. ENDED is told
 * when all are there, so that a SHUTDOWN event or an explanation written just before the death is not lost. Something
 * that inherited a descriptor could hold the last two open; a second after the death they count as ended.
 */
#include "qemu/vm.h"

#include "base/spawn.h"
#include "loop/stream.h"
#include "qemu/args.h"
#include "qemu/failure.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { AFTER_DEATH_MS = 1000, ERRORS_AT_ONCE = 4096 };

struct qemu_vm {
	struct loop *loop;
	qemu_event_fn *fn;
	void *data;
	struct text_list args;
	pid_t pid;
	struct loop_source *child, *patience;
	struct qmp *qmp;
	struct stream *errors;
	struct text output; /* of standard error */
	int console;
	int ports[QEMU_PORTS_MAX];
	bool started, end_is_wanted, panicked, exited, ended;
	int status;
	struct annex_error *broken; /* why we ended it */
	unsigned depth;
	bool freed;
};

static void release(struct qemu_vm *vm)
{
	text_list_clear(&vm->args);
	text_clear(&vm->output);
	annex_error_free(vm->broken);
	free(vm);
}

static void enter(struct qemu_vm *vm)
{
	vm->depth++;
}

static void leave(struct qemu_vm *vm)
{
	if (--vm->depth == 0 && vm->freed)
		release(vm);
}

static void tell(struct qemu_vm *vm, const struct qemu_event *event)
{
	if (!vm->freed)
		vm->fn(vm, event, vm->data);
}

/* ENDED, once the child, QMP and standard error are all gone. */
static void tell_end(struct qemu_vm *vm)
{
	auto_error struct annex_error *err = NULL;

	if (vm->freed || vm->ended || !vm->exited || vm->qmp || vm->errors)
		return;
	vm->ended = true;
	vm->pid = 0;
	if (vm->broken)
		err = TAKE(vm->broken);
	else if (!vm->end_is_wanted)
		qemu_failure(&err, &vm->args, vm->status, vm->output.data ? vm->output.data : "");
	tell(vm, &(struct qemu_event){.kind = QEMU_ENDED, .status = vm->status, .err = err});
}

static void kill_child(struct qemu_vm *vm)
{
	if (vm->pid > 0 && !vm->exited)
		kill(vm->pid, SIGKILL);
}

/* It can't go on: the first reason is the one that ENDED tells. */
static void break_off(struct qemu_vm *vm, const struct annex_error *err)
{
	if (!vm->broken && !vm->end_is_wanted)
		fail_relayed(&vm->broken, annex_error_kind(err), 0, annex_error_message(err), annex_error_hint(err));
	kill_child(vm);
}

static const char *text_of(const json_t *body, const char *name)
{
	return json_string_value(json_object_get(body, name));
}

static bool is_by_guest(const json_t *body)
{
	return json_is_true(json_object_get(body, "guest"));
}

static void on_resume(struct qemu_vm *vm, const json_t *body)
{
	bool first = !vm->started;

	(void)body;
	vm->started = true;
	tell(vm, &(struct qemu_event){.kind = first ? QEMU_STARTED : QEMU_RESUMED});
}

/* A stop that nobody asked for may be KVM's end. */
static void on_status(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	auto_error struct annex_error *internal = NULL;
	struct qemu_vm *vm = data;

	(void)qmp, (void)err;
	if (!result || vm->freed)
		return;
	enter(vm);
	if (text_equal(text_of(result, "status"), "internal-error")) {
		fail(&internal, ANNEX_ERROR_UNSUPPORTED, "KVM failed while the guest ran");
		fail_hint(&internal, "use the accelerator 'tcg'");
		break_off(vm, internal);
	} else if (!json_is_true(json_object_get(result, "running"))) {
		tell(vm, &(struct qemu_event){.kind = QEMU_PAUSED});
	}
	leave(vm);
}

static void on_stop(struct qemu_vm *vm, const json_t *body)
{
	(void)body;
	if (vm->end_is_wanted || vm->panicked)
		return; /* on its way out */
	if (qmp_execute(vm->qmp, "query-status", NULL, on_status, vm) < 0)
		tell(vm, &(struct qemu_event){.kind = QEMU_PAUSED});
}

static void on_reset(struct qemu_vm *vm, const json_t *body)
{
	tell(vm, &(struct qemu_event){
			 .kind = QEMU_RESET, .by_guest = is_by_guest(body), .reason = text_of(body, "reason")});
}

static void on_panic(struct qemu_vm *vm, const json_t *body)
{
	(void)body;
	vm->panicked = true;
	tell(vm, &(struct qemu_event){.kind = QEMU_PANICKED, .by_guest = true});
}

static void on_shutdown(struct qemu_vm *vm, const json_t *body)
{
	vm->end_is_wanted = true;
	tell(vm, &(struct qemu_event){
			 .kind = QEMU_SHUTDOWN, .by_guest = is_by_guest(body), .reason = text_of(body, "reason")});
}

static void on_io_error(struct qemu_vm *vm, const json_t *body)
{
	bool full = json_is_true(json_object_get(body, "nospace"));

	tell(vm, &(struct qemu_event){.kind = QEMU_IO_ERROR, .reason = full ? "nospace" : "error"});
}

static const struct {
	const char *name;
	void (*fn)(struct qemu_vm *vm, const json_t *body);
} events[] = {
	{"RESUME", on_resume},        {"STOP", on_stop},
	{"RESET", on_reset},          {"SHUTDOWN", on_shutdown},
	{"GUEST_PANICKED", on_panic}, {"BLOCK_IO_ERROR", on_io_error},
};

static void on_qmp_event(struct qmp *qmp, const char *name, const json_t *body, void *data)
{
	struct qemu_vm *vm = data;

	(void)qmp;
	enter(vm);
	for (size_t i = 0; i < COUNT_OF(events); i++) {
		if (strcmp(events[i].name, name) == 0)
			events[i].fn(vm, body);
	}
	leave(vm);
}

static void on_continued(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	(void)qmp;
	if (!result && annex_error_kind(err) == ANNEX_ERROR_GUEST)
		break_off(data, err);
}

static void on_qmp_ready(struct qmp *qmp, void *data)
{
	auto_error struct annex_error *err = NULL;
	int result = qmp_execute(qmp, "cont", NULL, on_continued, data);

	if (result == 0)
		return;
	fail_os(&err, result, "QEMU's control link");
	break_off(data, err);
}

static void on_qmp_end(struct qmp *qmp, const struct annex_error *err, void *data)
{
	struct qemu_vm *vm = data;

	enter(vm);
	vm->qmp = NULL;
	qmp_free(qmp);
	if (err)
		break_off(vm, err);
	tell_end(vm);
	leave(vm);
}

static const struct qmp_callbacks qmp_callbacks = {on_qmp_ready, on_qmp_event, on_qmp_end};

/* Keeps the last QEMU_STDERR_LIMIT bytes, and moves them only now and then. */
static size_t on_errors(struct stream *stream, const void *bytes, size_t size, void *data)
{
	struct qemu_vm *vm = data;
	struct text *output = &vm->output;

	(void)stream;
	text_add_bytes(output, bytes, size);
	if (output->size > 2 * (size_t)QEMU_STDERR_LIMIT) {
		size_t surplus = output->size - QEMU_STDERR_LIMIT;

		memmove(output->data, output->data + surplus, QEMU_STDERR_LIMIT + 1);
		output->size = QEMU_STDERR_LIMIT;
	}
	return size;
}

static void on_errors_end(struct stream *stream, int os, void *data)
{
	struct qemu_vm *vm = data;

	(void)os;
	enter(vm);
	vm->errors = NULL;
	stream_free(stream);
	tell_end(vm);
	leave(vm);
}

static const struct stream_callbacks errors_callbacks = {.on_data = on_errors, .on_end = on_errors_end};

static void on_patience_over(struct loop_source *source, void *data)
{
	struct qemu_vm *vm = data;

	(void)source;
	enter(vm);
	qmp_free(TAKE(vm->qmp));
	stream_free(TAKE(vm->errors));
	tell_end(vm);
	leave(vm);
}

static void on_exit_of_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct qemu_vm *vm = data;

	(void)pid;
	enter(vm);
	loop_source_free(source);
	vm->child = NULL;
	vm->exited = true;
	vm->status = status;
	if (vm->qmp || vm->errors)
		loop_timer_restart(vm->patience, AFTER_DEATH_MS);
	tell_end(vm);
	leave(vm);
}

/* Both ends of what one start needs. The child's are closed when this goes out of scope. */
struct ends {
	struct spawn_fd fds[QEMU_PORTS_MAX + 6];
	size_t count;
	int ours[QEMU_PORTS_MAX + 6]; /* in the same places; -1 once handed over, or there is none */
};

static void cleanup_ends(struct ends *ends)
{
	for (size_t i = 0; i < ends->count; i++) {
		cleanup_close(&ends->fds[i].from);
		cleanup_close(&ends->ours[i]);
	}
}

static int make_socket(struct ends *ends, int to, struct annex_error **err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_os(err, errno, "cannot make a socket for QEMU");
	ends->ours[ends->count] = pair[0];
	ends->fds[ends->count++] = (struct spawn_fd){pair[1], to};
	return 0;
}

static int make_pipe(struct ends *ends, int to, struct annex_error **err)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) < 0)
		return fail_os(err, errno, "cannot make a pipe for QEMU");
	ends->ours[ends->count] = pair[0];
	ends->fds[ends->count++] = (struct spawn_fd){pair[1], to};
	return 0;
}

static int lend(struct ends *ends, int fd, int to, struct annex_error **err)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return fail_os(err, errno, "cannot give QEMU a socket");
	ends->ours[ends->count] = -1;
	ends->fds[ends->count++] = (struct spawn_fd){copy, to};
	return 0;
}

static int make_ends(struct ends *ends, const struct qemu_config *config, struct annex_error **err)
{
	if (make_pipe(ends, STDERR_FILENO, err) < 0 || make_socket(ends, QEMU_FD_QMP, err) < 0)
		return -1;
	if (config->console && make_socket(ends, QEMU_FD_CONSOLE, err) < 0)
		return -1;
	if (config->share_queues > 0 && lend(ends, config->share_fd, QEMU_FD_SHARE, err) < 0)
		return -1;
	if (config->network && lend(ends, config->network_fd, QEMU_FD_NETWORK, err) < 0)
		return -1;
	for (size_t i = 0; i < config->port_count; i++) {
		if (make_socket(ends, QEMU_FD_PORTS + (int)i, err) < 0)
			return -1;
	}
	return 0;
}

static int watch(struct qemu_vm *vm, struct ends *ends, struct annex_error **err)
{
	size_t next = 2;
	int result;

	result = loop_add_child(&vm->child, vm->loop, vm->pid, on_exit_of_child, vm);
	if (result == 0)
		result = loop_add_timer(&vm->patience, vm->loop, UINT64_MAX, on_patience_over, vm);
	if (result == 0)
		result = stream_new(&vm->errors, vm->loop,
				    &(struct stream_options){.fd_in = ends->ours[0],
							     .fd_out = -1,
							     .callbacks = &errors_callbacks,
							     .data = vm,
							     .read_cap = ERRORS_AT_ONCE});
	if (result < 0)
		return fail_os(err, result, "cannot watch QEMU");
	ends->ours[0] = -1;
	result = qmp_new(&vm->qmp, vm->loop, ends->ours[1], &qmp_callbacks, vm);
	if (result < 0)
		return fail_os(err, result, "cannot watch QEMU");
	ends->ours[1] = -1;
	if (next < ends->count && ends->fds[next].to == QEMU_FD_CONSOLE) {
		vm->console = TAKE_FD(ends->ours[next]);
		next++;
	}
	while (next < ends->count && (ends->fds[next].to == QEMU_FD_SHARE || ends->fds[next].to == QEMU_FD_NETWORK))
		next++; /* lent */
	for (size_t i = 0; next < ends->count; i++, next++)
		vm->ports[i] = TAKE_FD(ends->ours[next]);
	return 0;
}

static void cleanup_vm(struct qemu_vm **vm)
{
	qemu_vm_free(*vm);
}

int qemu_vm_start(struct qemu_vm **ret, struct loop *loop, const struct qemu_probe *probe,
		  const struct qemu_config *config, qemu_event_fn *fn, void *data, struct annex_error **err)
{
	CLEANUP(cleanup_ends) struct ends ends = {0};
	CLEANUP(cleanup_vm) struct qemu_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return fail_memory(err);
	*vm = (struct qemu_vm){.loop = loop, .fn = fn, .data = data, .console = -1};
	for (size_t i = 0; i < QEMU_PORTS_MAX; i++)
		vm->ports[i] = -1;
	if (qemu_args(&vm->args, probe, config, err) < 0 || make_ends(&ends, config, err) < 0)
		return -1;
	if (spawn(&vm->pid, NULL,
		  &(struct spawn_options){.argv = (const char *const *)vm->args.items,
					  .fds = ends.fds,
					  .fd_count = ends.count,
					  .new_session = true, /* Ctrl-C is for its owner to act on */
					  .parent_death_signal = SIGKILL},
		  err) < 0)
		return -1;
	if (watch(vm, &ends, err) < 0)
		return -1;
	*ret = TAKE(vm);
	return 0;
}

void qemu_vm_free(struct qemu_vm *vm)
{
	if (!vm)
		return;
	assert(!vm->freed);
	vm->freed = true;
	loop_source_free(vm->child);
	loop_source_free(vm->patience);
	qmp_free(vm->qmp);
	stream_free(vm->errors);
	kill_child(vm);
	while (vm->pid > 0 && !vm->exited && waitpid(vm->pid, NULL, 0) < 0 && errno == EINTR)
		;
	cleanup_close(&vm->console);
	for (size_t i = 0; i < QEMU_PORTS_MAX; i++)
		cleanup_close(&vm->ports[i]);
	enter(vm);
	leave(vm);
}

int qemu_vm_take_console(struct qemu_vm *vm)
{
	int fd = vm->console;

	vm->console = -1;
	return fd;
}

int qemu_vm_take_port(struct qemu_vm *vm, size_t index)
{
	int fd = index < QEMU_PORTS_MAX ? vm->ports[index] : -1;

	if (fd >= 0)
		vm->ports[index] = -1;
	return fd;
}

int qemu_vm_execute(struct qemu_vm *vm, const char *command, json_t *arguments, qmp_reply_fn *fn, void *data)
{
	if (vm->qmp && vm->started)
		return qmp_execute(vm->qmp, command, arguments, fn, data);
	json_decref(arguments);
	return -ENOTCONN;
}

/* A full link is a QEMU that hangs: then nothing but killing it helps, which is the caller's decision. */
static void request(struct qemu_vm *vm, const char *command)
{
	int result = qemu_vm_execute(vm, command, NULL, NULL, NULL);

	(void)result;
}

void qemu_vm_pause(struct qemu_vm *vm)
{
	request(vm, "stop");
}

void qemu_vm_resume(struct qemu_vm *vm)
{
	request(vm, "cont");
}

void qemu_vm_press_power(struct qemu_vm *vm)
{
	request(vm, "system_powerdown");
}

void qemu_vm_quit(struct qemu_vm *vm)
{
	vm->end_is_wanted = true;
	if (vm->started)
		request(vm, "quit");
	else
		kill_child(vm); /* nothing has run yet that could be flushed */
}

void qemu_vm_kill(struct qemu_vm *vm)
{
	vm->end_is_wanted = true;
	kill_child(vm);
}

pid_t qemu_vm_pid(const struct qemu_vm *vm)
{
	return vm->pid;
}

bool qemu_vm_is_started(const struct qemu_vm *vm)
{
	return vm->started;
}
