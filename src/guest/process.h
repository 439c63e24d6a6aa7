#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What the agent's children do before they become something else. */

/* fork() into new namespaces (CLONE_NEW…); *ret_pidfd is the parent's, close-on-exec. Returns like fork(), or -errno.
 */
MUST_USE pid_t process_clone(int *ret_pidfd, uint64_t namespaces);

/* fork() into the pid namespace of a process. Returns like fork(), or -errno. */
MUST_USE pid_t process_fork_into(int pidfd);

/* Default signals, none blocked; a session of its own; killed for memory like any process; usual limits and umask.
 * Needs the agent's /proc. */
void process_reset(void);
/* How many files programs may open by themselves: right before one is executed. Until then the agent's own are open,
 * which may be more than that. */
void process_limit_files(void);
/* Is it gone, or on its way: past the point where it runs a program? */
bool process_is_ending(int pidfd);

/* Signal every process of a session of the kernel's, setsid()'s; those that have made one of their own are not of it.
 * `ended`: its leader is gone and reaped. Needs the agent's /proc. */
void process_signal_session(pid_t leader, bool ended, int number);

/* SIGHUP for all that have a terminal, which daemons have not: shells at a prompt ignore SIGTERM. For process 1, whose
 * own /proc it needs. */
void process_hang_up(void);

/* Make the three descriptors 0, 1 and 2; -1 is /dev/null. None of them is below 3. */
MUST_USE int process_set_standard(int in, int out, int errors);
