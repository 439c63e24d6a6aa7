#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * What the kernel asks for as it runs: the driver of a device that is opened, of a file system that is mounted, of a
 * protocol. It starts a program for that, in the agent's root: this one, by AUTOLOAD_PROGRAM.
 */
#define AUTOLOAD_PROGRAM "/proc/1/exe"

/* Where there are no modules, or the kernel never asks, nothing is lost: what fails is logged. */
void autoload_prepare(void);
/* The machine's init, whose modprobe is asked first; 0: none runs. */
void autoload_set_machine(pid_t init);

/* The program: loads what is meant by "-q -- NAME". The exit status. */
int autoload_main(int argc, char **argv);

/* The module that makes the processor's virtualization usable, by the text of /proc/cpuinfo; NULL: it has none. Pure.
 */
const char *autoload_kvm(const char *cpuinfo);
/* Is this the module of a line "PATH: NEEDS…" of modules.dep? '-' and '_' are the same in names. Pure. */
bool autoload_is_module(const char *line, const char *name);
/* The module of a line "alias PATTERN MODULE" of modules.alias, if the pattern matches; else NULL. Cuts the line into
 * words. Pure. */
const char *autoload_match(char *line, const char *name);
