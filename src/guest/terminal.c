#include "guest/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* The mount options of /dev/pts have set the group and the mode already. */
int terminal_open(int *ret_master, int *ret_terminal, uint32_t uid, uint32_t rows, uint32_t columns,
		  struct annex_error **err)
{
	auto_close int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	auto_close int terminal = -1;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &(int){0}) < 0)
		return fail_os(err, errno, "cannot open a terminal");
	terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (terminal < 0 || fchown(terminal, uid, (gid_t)-1) < 0)
		return fail_os(err, errno, "cannot open a terminal");
	terminal_resize(master, rows, columns);
	*ret_master = TAKE_FD(master);
	*ret_terminal = TAKE_FD(terminal);
	return 0;
}

int terminal_number(unsigned *ret, int master)
{
	return ioctl(master, TIOCGPTN, ret) < 0 ? -errno : 0;
}

int terminal_control(int terminal)
{
	return ioctl(terminal, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

void terminal_resize(int master, uint32_t rows, uint32_t columns)
{
	struct winsize size = {.ws_row = (unsigned short)(rows < UINT16_MAX ? rows : UINT16_MAX),
			       .ws_col = (unsigned short)(columns < UINT16_MAX ? columns : UINT16_MAX)};

	ioctl(master, TIOCSWINSZ, &size);
}

void terminal_signal(int master, pid_t leader, int signal)
{
	pid_t group = 0;

	if (ioctl(master, TIOCGPGRP, &group) < 0 || group <= 0)
		group = leader;
	if (kill(-group, signal) < 0)
		kill(leader, signal);
}

char terminal_end_of_input(int master, size_t *ret_count, char last)
{
	struct termios settings;

	/* In the middle of a line the first one only hands over what was typed of it. */
	*ret_count = last == '\n' || last == '\r' || last == '\0' ? 1 : 2;
	return tcgetattr(master, &settings) < 0 ? 4 : (char)settings.c_cc[VEOF];
}
