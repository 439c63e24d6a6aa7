/*
 * Signals are what software in the machine, and the agent, ask with: those that busybox's, systemd's and docker's
 * commands send to PID 1. All processes get SIGTERM, have a while to end, and are killed. reboot(2) in a pid namespace
 * then ends this process by a signal that tells the agent which it was.
 */
#include "guest/builtin.h"

#include "base/cleanup.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* SIGRTMIN+4 and +5 as systemd counts them. */
enum { GRACE_S = 10, LOOK_AGAIN_NS = 50000000, RT_POWER_OFF = 34 + 4, RT_REBOOT = 34 + 5 };

static const int power_off_signals[] = {SIGTERM, SIGUSR1, SIGUSR2, SIGPWR, RT_POWER_OFF};
static const int reboot_signals[] = {SIGINT, RT_REBOOT};

static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static bool among(int signal, const int *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (list[i] == signal)
			return true;
	}
	return false;
}

/* Until no process but us is left, or the time is up. Sessions are the agent's children, whose end nothing tells us. */
static void wait_for_all(const sigset_t *child)
{
	time_t end = time(NULL) + GRACE_S;

	while (kill(-1, 0) == 0 && time(NULL) < end) {
		sigtimedwait(child, NULL, &(struct timespec){.tv_nsec = LOOK_AGAIN_NS});
		reap();
	}
}

_Noreturn static void end(int how, const sigset_t *child)
{
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	wait_for_all(child);
	kill(-1, SIGKILL);
	wait_for_all(child);
	sync();
	reboot(how);
	_exit(0);
}

void builtin_main(void)
{
	sigset_t all, child;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		int signal = sigwaitinfo(&all, NULL);

		if (signal == SIGCHLD)
			reap();
		else if (among(signal, power_off_signals, COUNT_OF(power_off_signals)))
			end(RB_POWER_OFF, &child);
		else if (among(signal, reboot_signals, COUNT_OF(reboot_signals)))
			end(RB_AUTOBOOT, &child);
	}
}
