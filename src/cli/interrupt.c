/*
 * Interrupts while the library works.
 *
 * The handler does nothing but note the signal and cancel, which is async-signal-safe. It is installed without
 * SA_RESTART, so that a read from the user ends too. The second signal gets its default action back: a third one ends
 * the process at once even if the clean-up is stuck. The state is the process's, as signals are.
 */
#include "cli/interrupt.h"

#include "base/cleanup.h"

static struct annex_context *volatile cancelled_context;
static volatile sig_atomic_t came;
static volatile sig_atomic_t resumed;

static void note(int number)
{
	int saved = errno;

	if (came)
		signal(number, SIG_DFL);
	came = number;
	if (cancelled_context)
		annex_context_cancel(cancelled_context);
	errno = saved;
}

static void note_resumed(int number)
{
	(void)number;
	resumed++;
}

void interrupt_install(struct annex_context *context)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = note};
	struct sigaction resume = {.sa_handler = note_resumed, .sa_flags = SA_RESTART};
	struct sigaction before;

	cancelled_context = context;
	sigemptyset(&action.sa_mask);
	sigemptyset(&resume.sa_mask);
	sigaction(SIGCONT, &resume, NULL);
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		/* What was ignored when we started stays so: nohup, and shells' background jobs. */
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
}

void interrupt_forget(void)
{
	cancelled_context = NULL;
}

int interrupt_signal(void)
{
	return came;
}

unsigned interrupt_resumed(void)
{
	return (unsigned)resumed;
}

int interrupt_take(struct annex_context *context)
{
	int number = came;

	came = 0;
	if (number)
		annex_context_uncancel(context);
	return number;
}

void interrupt_begin_cleanup(struct annex_context *context)
{
	annex_context_uncancel(context);
}

void interrupt_die(void)
{
	int number = came;
	sigset_t set;

	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(number);
	_exit(128 + number);
}

void interrupt_session_signals(sigset_t *ret)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGCONT};

	sigemptyset(ret);
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		sigaddset(ret, numbers[i]);
}

void interrupt_held_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGQUIT);
	sigaddset(ret, SIGWINCH);
	sigaddset(ret, SIGCONT);
}
