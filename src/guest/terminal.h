#pragma once
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A session's terminal. Opened in the machine, so that its name means something there; used by the agent. */
MUST_USE int terminal_open(int *ret_master, int *ret_terminal, uint32_t uid, uint32_t rows, uint32_t columns,
			   struct annex_error **err);
MUST_USE int terminal_number(unsigned *ret, int master); /* N of /dev/pts/N; -errno */
MUST_USE int terminal_control(int terminal);             /* make it the controlling terminal of this session; -errno */

/* The agent's side, all by the master's descriptor. */
void terminal_resize(int master, uint32_t rows, uint32_t columns);
void terminal_signal(int master, pid_t leader, int signal); /* to the foreground, else to the leader's group */
/* What has to be typed so that a reader sees the end, given the last byte typed: *ret_count bytes. */
char terminal_end_of_input(int master, size_t *ret_count, char last);
