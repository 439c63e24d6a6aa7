/*
 * Every init has its own way of being asked. Which one runs is read from /proc when it is asked, since what the image
 * calls /sbin/init may be a script that became something else.
 *
 * An init that has only just been executed has no handlers yet, and PID 1 of a namespace ignores what it does not
 * handle: it is asked when it listens, which /proc tells too.
 *
 * Files in the machine that have to be written (fifos, a flag) are written by a child in the machine's mount namespace:
 * a path there may block, and the agent never does.
 */
#include "guest/shutdown.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "guest/disk.h"
#include "guest/process.h"
#include "guest/program.h"
#include "guest/sharefs.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { SESSIONS_TIMEOUT_MS = 1000, LINK_TIMEOUT_MS = 2000 };
enum { LISTENS_WITHIN_MS = 5000, LISTENS_RETRY_MS = 50 };

/* Asking. */

static int put(const char *path, const void *bytes, size_t size)
{
	auto_close int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* a fifo nobody reads: ENXIO */

	return fd < 0 ? -errno : file_write_all(fd, bytes, size);
}

/* sysvinit's struct init_request, initreq.h: 384 bytes. */
static bool ask_initctl(void)
{
	enum { MAGIC = 0x03091969, RUN_LEVEL = 1, SIZE = 384 };
	uint32_t request[SIZE / sizeof(uint32_t)] = {MAGIC, RUN_LEVEL, '0', 0};

	return put("/run/initctl", request, SIZE) == 0 || put("/dev/initctl", request, SIZE) == 0;
}

static bool ask_openrc(void)
{
	static const char command[] = "poweroff";

	return put("/run/openrc/init.ctl", command, strlen(command)) == 0;
}

/* What runit-init 0 does, with the files where runit has them, and where Debian has. */
static bool ask_runit(void)
{
	static const char *const flags[][2] = {{"/etc/runit/stopit", "/etc/runit/reboot"},
					       {"/run/runit.stopit", "/run/runit.reboot"}};
	bool asked = false;

	for (size_t i = 0; i < COUNT_OF(flags); i++) {
		auto_close int fd = open(flags[i][0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0100);

		asked |= fd >= 0 && fchmod(fd, 0100) == 0;
		if (chmod(flags[i][1], 0) < 0 && errno != ENOENT)
			return false;
	}
	return asked;
}

/* s6-svscan runs a script of its own for these, where it has one: s6-linux-init and s6-overlay give it one to power
 * off. Without any it ends all services, and then itself. */
static int s6_signal(void)
{
	static const struct {
		const char *path;
		int signal;
	} scripts[] = {{"/proc/1/cwd/.s6-svscan/SIGPWR", SIGPWR}, {"/proc/1/cwd/.s6-svscan/SIGUSR1", SIGUSR1}};

	for (size_t i = 0; i < COUNT_OF(scripts); i++) {
		if (access(scripts[i].path, X_OK) == 0)
			return scripts[i].signal;
	}
	return SIGTERM;
}

/* What is still to be sent; 0: nothing. `otherwise`: to one that does not listen. */
static int ask_inside(const struct program *program, int otherwise)
{
	switch (program->stop) {
	case PROGRAM_STOP_INITCTL:
		return ask_initctl() ? program->signal : otherwise;
	case PROGRAM_STOP_OPENRC:
		return ask_openrc() ? program->signal : otherwise;
	case PROGRAM_STOP_RUNIT:
		return ask_runit() ? program->signal : otherwise;
	case PROGRAM_STOP_S6:
		return s6_signal();
	case PROGRAM_STOP_SIGNAL:
		break;
	}
	return program->signal;
}

/* The child is reaped with the strays. When its way fails, `otherwise` is sent, as for an init that is not known. */
static int ask_by_child(const struct guest *guest, const struct program *program, int otherwise)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid < 0 ? -errno : 0;
	process_reset();
	if (setns(init_pidfd(guest->init), CLONE_NEWNS) == 0)
		otherwise = ask_inside(program, otherwise);
	if (otherwise > 0)
		init_kill(guest->init, otherwise);
	_exit(0);
}

static const struct program *running_program(const struct guest *guest)
{
	auto_close int root = -1;

	if (strcmp(guest->init_path, PROGRAM_BUILTIN) == 0)
		return program_find(PROGRAM_BUILTIN);
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? NULL : program_of_process(root, (int)init_pid(guest->init));
}

static int signal_otherwise(const struct guest *guest)
{
	return guest->config.stop_signal > 0 && guest->config.stop_signal < NSIG ? (int)guest->config.stop_signal
										 : SIGTERM;
}

static void ask(const struct guest *guest)
{
	const struct program *program = running_program(guest);
	int otherwise = signal_otherwise(guest);

	if (program && program->stop == PROGRAM_STOP_SIGNAL)
		init_kill(guest->init, program->signal);
	else if (!program || ask_by_child(guest, program, otherwise) < 0)
		init_kill(guest->init, otherwise);
}

/* The signals of one line of /proc/PID/status, "SigCgt:\t0000000000000000". */
static uint64_t signals_of(const char *status, const char *name)
{
	const char *line = strstr(status, name);
	auto_free char *digits = line ? strndup(line + strlen(name), 16) : NULL;
	uint64_t set = 0;

	return digits && text_to_u64(&set, digits, 16) == 0 ? set : 0;
}

static int read_process(char **ret, const struct guest *guest, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)init_pid(guest->init), file);
	return file_read(ret, NULL, AT_FDCWD, path, 1 << 16);
}

/* In sigwait() and its kin, while which the kernel shows none of the awaited signals as blocked. */
static bool awaits_signals(const struct guest *guest)
{
	auto_free char *call = NULL;
	uint32_t number = 0;

	if (read_process(&call, guest, "syscall") < 0)
		return false;
	call[strcspn(call, " \n")] = '\0';
	return text_to_u32(&number, call, 10) == 0 && number == SYS_rt_sigtimedwait;
}

/* Does init handle (or wait for) the signal that it will be sent, or any if it is asked in another way? */
static bool listens(const struct guest *guest)
{
	const struct program *program = running_program(guest);
	int signal = program ? program->signal : signal_otherwise(guest);
	auto_free char *status = NULL;
	uint64_t set;

	if (awaits_signals(guest) || read_process(&status, guest, "status") < 0)
		return true;
	set = signals_of(status, "SigCgt:\t") | signals_of(status, "SigBlk:\t");
	return signal > 0 ? (set & 1ull << (signal - 1)) != 0 : set != 0;
}

static void on_asker(struct loop_source *source, void *data)
{
	struct guest *guest = data;

	if (guest->state != GUEST_STOPPING || !guest->init)
		return;
	if (!listens(guest) && time_monotonic_ms() < guest->ask_until)
		loop_timer_restart(source, LISTENS_RETRY_MS);
	else
		ask(guest);
}

static void ask_when_it_listens(struct guest *guest)
{
	guest->ask_until = time_monotonic_ms() + time_scaled_ms(LISTENS_WITHIN_MS, guest->config.deadline_factor);
	if (listens(guest) || loop_add_timer(&guest->asker, guest->loop, LISTENS_RETRY_MS, on_asker, guest) < 0)
		ask(guest);
}

static void on_timeout(struct loop_source *source, void *data)
{
	struct guest *guest = data;

	(void)source;
	log_info("init did not end in time: killed");
	init_kill(guest->init, SIGKILL);
}

static void set_timer(struct guest *guest, uint64_t after_ms, loop_timer_fn *fn)
{
	loop_source_free(guest->timer);
	guest->timer = NULL;
	if (loop_add_timer(&guest->timer, guest->loop, after_ms, fn, guest) < 0)
		log_info("out of memory");
}

void shutdown_begin(struct guest *guest, uint64_t timeout_ms)
{
	bool again = guest->state == GUEST_STOPPING;

	if (guest->state == GUEST_ENDING)
		return;
	if (!guest->init) {
		shutdown_finish(guest);
		return;
	}
	guest->state = GUEST_STOPPING;
	guest_wait_for(guest, "init to stop");
	if (guest->enrolls) {
		init_kill(guest->init, SIGKILL);
	} else if (timeout_ms > 0 && !again) {
		shares_hold(guest->shares);
		ask_when_it_listens(guest);
	}
	set_timer(guest, timeout_ms, on_timeout);
}

/* Ending. */

static void on_link_timeout(struct loop_source *source, void *data)
{
	struct guest *guest = data;

	(void)source;
	loop_stop(guest->loop, 0);
}

static void on_sessions_timeout(struct loop_source *source, void *data)
{
	struct guest *guest = data;

	(void)source;
	sessions_finish(guest->sessions);
	shutdown_check(guest);
}

void shutdown_finish(struct guest *guest)
{
	if (guest->state == GUEST_ENDING)
		return;
	guest->state = GUEST_ENDING;
	set_timer(guest, time_scaled_ms(SESSIONS_TIMEOUT_MS, guest->config.deadline_factor), on_sessions_timeout);
	shutdown_check(guest);
}

void shutdown_check(struct guest *guest)
{
	if (guest->state != GUEST_ENDING || sessions_count(guest->sessions) > 0)
		return;
	if (guest->halted)
		link_send(guest->link, MESSAGE_HALTED, 0, &guest->halt);
	guest->halted = false;
	if (link_is_empty(guest->link))
		loop_stop(guest->loop, 0);
	else
		set_timer(guest, time_scaled_ms(LINK_TIMEOUT_MS, guest->config.deadline_factor), on_link_timeout);
}

void shutdown_power_off(bool disk_mounted)
{
	/* First the disk is written, for its sake the host's server need not answer; then shares go, which lie on it.
	 */
	if (disk_mounted)
		disk_sync();
	sharefs_unmount();
	if (disk_mounted && !disk_unmount())
		log_info("the disk was not unmounted");
	reboot(RB_POWER_OFF);
	log_info("cannot power off: %s", strerror(errno));
	for (;;)
		poll(NULL, 0, -1);
}
