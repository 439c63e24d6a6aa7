#pragma once

/* The built-in init: reaps, runs a service if its command line has one (service.h), and ends the machine when asked.
 * Runs as PID 1 of the machine's namespaces; does not return. */
_Noreturn void builtin_main(int argc, char **argv);
