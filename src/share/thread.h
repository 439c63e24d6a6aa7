#pragma once
#include <stdbool.h>
#include <sys/types.h>

/* What the calling thread has of its own, of what is otherwise the process's: the umask and the working folder. */

/* Bits that files made from now on do not get; without a umask of its own, none. */
void thread_use_umask(mode_t mask);
/* Makes the folder the working folder, so that a name is a path; false if that can't be. Then thread_leave(). */
bool thread_enter(int folder);
void thread_leave(void);
