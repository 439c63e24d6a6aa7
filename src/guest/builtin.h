#pragma once

/* The built-in init, for images that have none: reaps, and ends the machine when asked. Runs as PID 1 of the machine's
 * namespaces; does not return. */
_Noreturn void builtin_main(void);
