/*
 * Raw and silent mode, and the way back.
 *
 * A shell behind a terminal that was left so is unusable, so every way out goes through terminal_restore(): the
 * caller, atexit(), and the signals that end a process and that nobody else handles. Those that a session passes on are
 * blocked and read from a descriptor while the terminal is raw; they never end the process. The state is the
 * terminal's, hence the process's.
 */
#include "cli/terminal.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios before, raw;
static volatile sig_atomic_t is_raw;

void terminal_restore(void)
{
	if (!is_raw)
		return;
	is_raw = 0;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

static void restore_and_die(int number)
{
	terminal_restore();
	signal(number, SIG_DFL);
	raise(number);
}

/* `before` becomes `raw`, by `change`. */
static int enter(void (*change)(struct termios *mode), struct annex_error **err)
{
	static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2};
	static bool prepared;
	struct sigaction action = {.sa_handler = restore_and_die, .sa_flags = SA_NODEFER};

	if (is_raw)
		return 0;
	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return fail_os(err, errno, "cannot read the terminal's mode");
	if (!prepared) {
		sigemptyset(&action.sa_mask);
		for (size_t i = 0; i < COUNT_OF(deadly); i++)
			sigaction(deadly[i], &action, NULL);
		atexit(terminal_restore);
		prepared = true;
	}
	raw = before;
	change(&raw);
	is_raw = 1;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0)
		return 0;
	is_raw = 0;
	return fail_os(err, errno, "cannot set the terminal's mode");
}

static void be_raw(struct termios *mode)
{
	tcflag_t keys = mode->c_lflag & ISIG;

	cfmakeraw(mode);
	mode->c_lflag |= keys;
	mode->c_cc[VSUSP] = _POSIX_VDISABLE;
}

int terminal_make_raw(struct annex_error **err)
{
	return enter(be_raw, err);
}

static void be_silent(struct termios *mode)
{
	mode->c_lflag &= ~(tcflag_t)ECHO;
	mode->c_lflag |= ECHONL;
	mode->c_cc[VSUSP] = mode->c_cc[VQUIT] = _POSIX_VDISABLE;
}

int terminal_make_silent(struct annex_error **err)
{
	return enter(be_silent, err);
}

void terminal_pass_keys(void)
{
	raw.c_lflag &= ~(tcflag_t)ISIG;
	terminal_renew();
}

void terminal_renew(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

void terminal_size(unsigned *ret_rows, unsigned *ret_columns)
{
	static const int places[] = {STDOUT_FILENO, STDIN_FILENO, STDERR_FILENO};
	struct winsize size;

	*ret_rows = 24;
	*ret_columns = 80;
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		if (ioctl(places[i], TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col) {
			*ret_rows = size.ws_row;
			*ret_columns = size.ws_col;
			return;
		}
	}
}
