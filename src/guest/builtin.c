/*
 * Signals are what software in the machine, and the agent, ask with: those that busybox's and systemd's commands send
 * to PID 1. The service, if there is one, is asked first, by the image's own signal. Then all processes get SIGTERM,
 * those with a terminal SIGHUP too, have a while to end, and are killed. reboot(2) in a pid namespace then ends this
 * process by a signal that tells the agent which it was.
 *
 * A service that has ended, however it did, is started again, soon the first time and ever later if it goes on so. One
 * that cannot even be started when the machine starts ends the machine.
 */
#include "guest/builtin.h"

#include "base/cleanup.h"
#include "base/time.h"
#include "guest/process.h"
#include "guest/service.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* SIGRTMIN+4 and +5 as systemd counts them. */
enum { GRACE_MS = 10000, SERVICE_GRACE_MS = 60000, LOOK_AGAIN_MS = 50, RT_POWER_OFF = 34 + 4, RT_REBOOT = 34 + 5 };
enum { EXIT_NO_SERVICE = 127 };
enum { RETRY_FIRST_MS = 100, RETRY_LAST_MS = 60000, WELL_AFTER_MS = 10000 };

static const int power_off_signals[] = {SIGUSR1, SIGUSR2, SIGPWR, RT_POWER_OFF};
static const int reboot_signals[] = {SIGTERM, SIGINT, RT_REBOOT};

struct builtin {
	sigset_t all, child;
	bool has_service, told_ready;
	struct service service;
	pid_t pid; /* of the service, or 0 */
	uint64_t started_at, start_at;
	uint32_t retry_ms; /* how long to wait after its next end */
};

static bool among(int signal, const int *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == signal)
			return true;
	}
	return false;
}

/* A signal of the set, or -1 when there was none so long. */
static int wait_signal(const sigset_t *set, uint64_t ms)
{
	return sigtimedwait(set, NULL,
			    &(struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000});
}

/* The service. */

static void retry_later(struct builtin *builtin)
{
	uint64_t now = time_monotonic_ms();

	if (now - builtin->started_at >= WELL_AFTER_MS)
		builtin->retry_ms = RETRY_FIRST_MS;
	builtin->start_at = now + builtin->retry_ms;
	printf("annex: it starts again in %u.%u s\n", builtin->retry_ms / 1000, builtin->retry_ms % 1000 / 100);
	builtin->retry_ms = builtin->retry_ms < RETRY_LAST_MS / 2 ? builtin->retry_ms * 2 : RETRY_LAST_MS;
}

static void start_service(struct builtin *builtin)
{
	auto_error struct annex_error *err = NULL;

	builtin->started_at = time_monotonic_ms();
	builtin->start_at = 0;
	if (service_start(&builtin->pid, &builtin->service, &err) == 0) {
		if (!builtin->told_ready)
			service_tell(NULL);
		builtin->told_ready = true;
		return;
	}
	printf("annex: the service: %s\n", annex_error_message(err));
	if (!builtin->told_ready) {
		service_tell(err);
		_exit(EXIT_NO_SERVICE);
	}
	if (builtin->pid <= 0)
		retry_later(builtin);
}

static void on_service_ended(struct builtin *builtin, int status)
{
	builtin->pid = 0;
	if (WIFSIGNALED(status))
		printf("annex: the service was ended by signal %d (%s)\n", WTERMSIG(status),
		       strsignal(WTERMSIG(status)));
	else
		printf("annex: the service exited with status %d\n", WEXITSTATUS(status));
}

static void reap(struct builtin *builtin)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == builtin->pid)
			on_service_ended(builtin, status);
	}
}

static void stop_service(struct builtin *builtin)
{
	uint64_t now = time_monotonic_ms(), end = now + SERVICE_GRACE_MS;

	if (builtin->pid > 0) {
		kill(builtin->pid, builtin->service.stop_signal);
		kill(builtin->pid, SIGCONT);
	}
	for (; builtin->pid > 0 && now < end; now = time_monotonic_ms()) {
		wait_signal(&builtin->child, end - now);
		reap(builtin);
	}
}

/* The end. */

/* Until no process but us is left, or the time is up. Sessions are the agent's children, whose end nothing tells us. */
static void wait_for_all(struct builtin *builtin)
{
	uint64_t end = time_monotonic_ms() + GRACE_MS;

	while (kill(-1, 0) == 0 && time_monotonic_ms() < end) {
		wait_signal(&builtin->child, LOOK_AGAIN_MS);
		reap(builtin);
	}
}

_Noreturn static void end(struct builtin *builtin, int how)
{
	stop_service(builtin);
	kill(-1, SIGTERM);
	process_hang_up();
	kill(-1, SIGCONT);
	wait_for_all(builtin);
	kill(-1, SIGKILL);
	wait_for_all(builtin);
	sync();
	reboot(how);
	_exit(0);
}

static void on_child(struct builtin *builtin)
{
	bool ran = builtin->pid > 0;

	reap(builtin);
	if (ran && builtin->pid == 0)
		retry_later(builtin);
}

/* What is left of the pause before the next start; without one nothing is awaited but signals. */
static uint64_t pause_ms(const struct builtin *builtin)
{
	uint64_t now = time_monotonic_ms();

	if (builtin->start_at == 0)
		return RETRY_LAST_MS;
	return builtin->start_at > now ? builtin->start_at - now : 0;
}

void builtin_main(int argc, char **argv)
{
	struct builtin builtin = {.retry_ms = RETRY_FIRST_MS};

	sigfillset(&builtin.all);
	sigprocmask(SIG_SETMASK, &builtin.all, NULL);
	sigemptyset(&builtin.child);
	sigaddset(&builtin.child, SIGCHLD);
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	builtin.has_service = service_parse(&builtin.service, argc, argv);
	if (builtin.has_service)
		start_service(&builtin);
	for (;;) {
		int signal = builtin.has_service ? wait_signal(&builtin.all, pause_ms(&builtin))
						 : sigwaitinfo(&builtin.all, NULL);

		if (signal == SIGCHLD)
			on_child(&builtin);
		else if (among(signal, power_off_signals, COUNT_OF(power_off_signals)))
			end(&builtin, RB_POWER_OFF);
		else if (among(signal, reboot_signals, COUNT_OF(reboot_signals)))
			end(&builtin, RB_AUTOBOOT);
		else if (signal < 0 && builtin.start_at > 0 && pause_ms(&builtin) == 0)
			start_service(&builtin);
	}
}
