/*
 * A virtual machine for a program without an event loop: qemu/vm.h on a loop of its own that turns only inside the
 * calls here. Whoever has a loop watches annex_vm_fd(), the loop's descriptor.
 *
 * Events wait in a ring until they are asked for. The console is copied in the same turns, in blocking writes: a
 * console descriptor that nobody reads holds up the machine, as a serial line does.
 */
#include "annex/vm.h"

#include "base/file.h"
#include "base/text.h"
#include "base/time.h"
#include "lib/context.h"
#include "qemu/vm.h"

#include <fcntl.h>
#include <string.h>

enum {
	START_MS = 30000,  /* QEMU's own start; the guest is not waited for */
	ANSWER_MS = 10000, /* pause, resume */
	QUIT_MS = 5000,    /* then SIGKILL */
	GLANCE_MS = 200,   /* a cancellation is noticed within this time */
	EVENTS_MAX = 256,  /* unasked-for events that are kept: the latest */
};
static const uint64_t DEFAULT_MEMORY = 512ull << 20;

struct annex_vm {
	struct annex_context *context;
	struct loop *loop;
	struct qemu_vm *qemu;
	struct qemu_probe probe;
	struct qemu_config config; /* its texts are the ones below */
	enum qemu_accel_kind wanted;
	char *kernel, *initrd, *command_line;
	struct qemu_disk disks[QEMU_DISKS_MAX];
	int console_to, console, network; /* descriptors */
	struct loop_source *console_source;
	enum annex_vm_event events[EVENTS_MAX];
	size_t first, count;
	bool started, paused, over;  /* over: ENDED has come */
	struct annex_error *failure; /* why, for annex_vm_start() */
};

API const char *annex_vm_event_name(enum annex_vm_event event)
{
	static const char *const names[] = {
		[ANNEX_VM_STARTED] = "started",   [ANNEX_VM_PAUSED] = "paused",
		[ANNEX_VM_RESUMED] = "resumed",   [ANNEX_VM_RESET] = "reset",
		[ANNEX_VM_PANICKED] = "panicked", [ANNEX_VM_POWERED_OFF] = "powered off",
		[ANNEX_VM_ENDED] = "ended",
	};

	return (size_t)event < COUNT_OF(names) && names[event] ? names[event] : "unknown";
}

static void add_event(struct annex_vm *vm, enum annex_vm_event event)
{
	if (vm->count == EVENTS_MAX) {
		vm->first = (vm->first + 1) % EVENTS_MAX;
		vm->count--;
	}
	vm->events[(vm->first + vm->count++) % EVENTS_MAX] = event;
}

static void close_console(struct annex_vm *vm)
{
	loop_source_free(vm->console_source);
	vm->console_source = NULL;
	cleanup_close(&vm->console);
	vm->console = -1;
}

/* One read; false at the end. What can't be written is dropped: the machine goes on. */
static bool copy_console(struct annex_vm *vm)
{
	char bytes[16384];
	ssize_t n = read(vm->console, bytes, sizeof(bytes));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0)
		return false;
	if (vm->console_to >= 0 && file_write_all(vm->console_to, bytes, (size_t)n) < 0)
		vm->console_to = -1;
	return true;
}

static void on_console(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source, (void)fd, (void)events;
	if (!copy_console(data))
		close_console(data);
}

static void on_event(struct qemu_vm *qemu, const struct qemu_event *event, void *data)
{
	struct annex_vm *vm = data;

	(void)qemu;
	switch (event->kind) {
	case QEMU_STARTED:
		vm->started = true;
		add_event(vm, ANNEX_VM_STARTED);
		break;
	case QEMU_PAUSED:
		vm->paused = true;
		add_event(vm, ANNEX_VM_PAUSED);
		break;
	case QEMU_RESUMED:
		vm->paused = false;
		add_event(vm, ANNEX_VM_RESUMED);
		break;
	case QEMU_RESET:
		add_event(vm, ANNEX_VM_RESET);
		break;
	case QEMU_PANICKED:
		add_event(vm, ANNEX_VM_PANICKED);
		break;
	case QEMU_SHUTDOWN:
		if (event->by_guest && !text_equal(event->reason, "guest-panic"))
			add_event(vm, ANNEX_VM_POWERED_OFF);
		break;
	case QEMU_IO_ERROR:
		break; /* the guest is told, or paused, which is an event of its own */
	case QEMU_ENDED:
		while (vm->console >= 0 && copy_console(vm))
			;
		vm->over = true;
		if (event->err)
			fail_relayed(&vm->failure, annex_error_kind(event->err), annex_error_errno(event->err),
				     annex_error_message(event->err), annex_error_hint(event->err));
		add_event(vm, ANNEX_VM_ENDED);
		break;
	}
}

static int copy_text(char **ret, const char *text, struct annex_error **err)
{
	if (!text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : fail_memory(err);
}

static int copy_disks(struct annex_vm *vm, const struct annex_vm_options *options, struct annex_error **err)
{
	if (options->disk_count > QEMU_DISKS_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "more than %d disks", QEMU_DISKS_MAX);
	for (size_t i = 0; i < options->disk_count; i++) {
		const struct annex_vm_disk *disk = &options->disks[i];
		char *path = NULL, *format = NULL, *serial = NULL;
		int result = copy_text(&path, disk->path, err);

		result = result < 0 ? result : copy_text(&format, disk->format, err);
		result = result < 0 ? result : copy_text(&serial, disk->serial, err);
		vm->disks[i] = (struct qemu_disk){path, format, serial, disk->read_only != 0, true};
		vm->config.disk_count = i + 1;
		if (result < 0)
			return -1;
	}
	return 0;
}

static int copy_options(struct annex_vm *vm, const struct annex_vm_options *options, struct annex_error **err)
{
	if (copy_text(&vm->kernel, options->kernel, err) < 0 || copy_text(&vm->initrd, options->initrd, err) < 0 ||
	    copy_text(&vm->command_line, options->command_line, err) < 0 || copy_disks(vm, options, err) < 0)
		return -1;
	if (options->accelerator && qemu_accel_parse(&vm->wanted, options->accelerator, err) < 0)
		return -1;
	if (options->network_fd >= 0) {
		vm->network = fcntl(options->network_fd, F_DUPFD_CLOEXEC, 0);
		if (vm->network < 0)
			return fail_os(err, errno, "the network's socket");
		vm->config.network = true;
		vm->config.network_fd = vm->network;
	}
	vm->config.kernel = vm->kernel;
	vm->config.initrd = vm->initrd;
	vm->config.command_line = vm->command_line;
	vm->config.disks = vm->disks;
	vm->config.memory = options->memory ? options->memory : DEFAULT_MEMORY;
	vm->config.cpus = options->cpus ? options->cpus : 1;
	vm->config.console = options->console_fd >= 0;
	vm->console_to = options->console_fd;
	return 0;
}

API int annex_vm_new(struct annex_vm **ret, struct annex_context *context, const struct annex_vm_options *options,
		     struct annex_error **err)
{
	struct annex_vm_options chosen = ANNEX_VM_OPTIONS_INIT;
	struct annex_vm *vm = calloc(1, sizeof(*vm));
	int result;

	if (!vm)
		return fail_memory(err);
	vm->context = annex_context_ref(context);
	vm->console = vm->console_to = vm->network = -1;
	memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	result = loop_new(&vm->loop);
	if (result < 0)
		fail_os(err, result, "cannot make an event loop");
	if (result < 0 || copy_options(vm, &chosen, err) < 0) {
		annex_vm_free(vm);
		return -1;
	}
	*ret = vm;
	return 0;
}

API void annex_vm_free(struct annex_vm *vm)
{
	if (!vm)
		return;
	qemu_vm_free(vm->qemu);
	close_console(vm);
	loop_free(vm->loop);
	qemu_probe_clear(&vm->probe);
	for (size_t i = 0; i < vm->config.disk_count; i++) {
		free((char *)vm->disks[i].path);
		free((char *)vm->disks[i].format);
		free((char *)vm->disks[i].serial);
	}
	free(vm->kernel);
	free(vm->initrd);
	free(vm->command_line);
	cleanup_close(&vm->network);
	annex_error_free(vm->failure);
	annex_context_unref(vm->context);
	free(vm);
}

static bool runs(const struct annex_vm *vm)
{
	return vm->qemu && !vm->over;
}

typedef bool condition_fn(const struct annex_vm *vm);

/* Turn the loop until the condition holds; *ret_held tells whether it does. Fails only when cancelled. */
static int turn_until(struct annex_vm *vm, bool *ret_held, condition_fn *condition, int64_t timeout_ms,
		      struct annex_error **err)
{
	uint64_t start = time_monotonic_ms();

	for (;;) {
		int64_t left = timeout_ms < 0 ? GLANCE_MS : timeout_ms - (int64_t)(time_monotonic_ms() - start);

		*ret_held = condition(vm);
		if (*ret_held)
			return 0;
		if (context_check_cancelled(vm->context, err) < 0)
			return -1;
		if (!loop_turn(vm->loop, left > GLANCE_MS ? GLANCE_MS : left > 0 ? (int)left : 0) && left <= 0)
			return 0;
	}
}

static bool has_started_or_ended(const struct annex_vm *vm)
{
	return vm->started || vm->over;
}

static bool is_over(const struct annex_vm *vm)
{
	return vm->over;
}

static bool is_paused_or_over(const struct annex_vm *vm)
{
	return vm->paused || vm->over;
}

static bool is_resumed_or_over(const struct annex_vm *vm)
{
	return !vm->paused || vm->over;
}

static bool has_event(const struct annex_vm *vm)
{
	return vm->count > 0;
}

/* Forget the last run. */
static void reset(struct annex_vm *vm)
{
	qemu_vm_free(TAKE(vm->qemu));
	close_console(vm);
	annex_error_free(TAKE(vm->failure));
	vm->started = vm->paused = vm->over = false;
	vm->first = vm->count = 0;
}

static int launch(struct annex_vm *vm, struct annex_error **err)
{
	auto_qemu_accel struct qemu_accel accel = {0};
	int result;

	qemu_probe_clear(&vm->probe);
	if (qemu_probe(&vm->probe, NULL, err) < 0 || qemu_accel_choose(&accel, &vm->probe, vm->wanted, err) < 0)
		return -1;
	vm->config.accel = accel.kind;
	if (qemu_vm_start(&vm->qemu, vm->loop, &vm->probe, &vm->config, on_event, vm, err) < 0)
		return -1;
	vm->console = qemu_vm_take_console(vm->qemu);
	if (vm->console < 0)
		return 0;
	result = loop_add_fd(&vm->console_source, vm->loop, vm->console, EPOLLIN, on_console, vm);
	return result < 0 ? fail_os(err, result, "cannot watch the console") : 0;
}

API int annex_vm_start(struct annex_vm *vm, struct annex_error **err)
{
	bool started = false;

	if (runs(vm))
		return fail(err, ANNEX_ERROR_BUSY, "the virtual machine runs already");
	reset(vm);
	if (launch(vm, err) < 0 ||
	    turn_until(vm, &started, has_started_or_ended, (int64_t)time_scaled_ms(START_MS, 1), err) < 0) {
		reset(vm);
		return -1;
	}
	if (vm->started)
		return 0;
	if (!vm->failure)
		fail(err, ANNEX_ERROR_TIMEOUT, "QEMU did not answer");
	else if (err)
		*err = TAKE(vm->failure);
	reset(vm);
	return -1;
}

/* A request whose effect is waited for. */
static int change(struct annex_vm *vm, void (*request)(struct qemu_vm *qemu), condition_fn *condition, const char *what,
		  struct annex_error **err)
{
	bool held = false;

	if (!runs(vm))
		return fail(err, ANNEX_ERROR_BUSY, "the virtual machine does not run");
	request(vm->qemu);
	if (turn_until(vm, &held, condition, (int64_t)time_scaled_ms(ANSWER_MS, 1), err) < 0)
		return -1;
	if (vm->over)
		return fail(err, ANNEX_ERROR_BUSY, "the virtual machine has ended");
	return held ? 0 : fail(err, ANNEX_ERROR_TIMEOUT, "QEMU did not %s the virtual machine", what);
}

API int annex_vm_pause(struct annex_vm *vm, struct annex_error **err)
{
	return change(vm, qemu_vm_pause, is_paused_or_over, "pause", err);
}

API int annex_vm_resume(struct annex_vm *vm, struct annex_error **err)
{
	return change(vm, qemu_vm_resume, is_resumed_or_over, "resume", err);
}

API int annex_vm_stop(struct annex_vm *vm, int64_t timeout_ms, struct annex_error **err)
{
	bool over = false;

	if (!runs(vm))
		return 0;
	if (timeout_ms > 0) {
		qemu_vm_press_power(vm->qemu);
		if (turn_until(vm, &over, is_over, timeout_ms, err) < 0)
			return -1;
	}
	if (!over) {
		qemu_vm_quit(vm->qemu);
		if (turn_until(vm, &over, is_over, (int64_t)time_scaled_ms(QUIT_MS, 1), err) < 0)
			return -1;
	}
	if (!over) {
		qemu_vm_kill(vm->qemu);
		return turn_until(vm, &over, is_over, -1, err);
	}
	return 0;
}

API int annex_vm_wait(struct annex_vm *vm, enum annex_vm_event *ret, int64_t timeout_ms, struct annex_error **err)
{
	bool has = vm->count > 0;

	if (!has && !runs(vm))
		return fail(err, ANNEX_ERROR_BUSY, "the virtual machine does not run");
	if (!has && turn_until(vm, &has, has_event, timeout_ms, err) < 0)
		return -1;
	if (!has)
		return fail(err, ANNEX_ERROR_TIMEOUT, "the virtual machine had no event");
	*ret = vm->events[vm->first];
	vm->first = (vm->first + 1) % EVENTS_MAX;
	vm->count--;
	return 0;
}

API int annex_vm_fd(const struct annex_vm *vm)
{
	return loop_fd(vm->loop);
}

API int annex_vm_pid(const struct annex_vm *vm)
{
	return vm->qemu ? (int)qemu_vm_pid(vm->qemu) : 0;
}
