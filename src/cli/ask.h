#pragma once
#include <stdbool.h>

/* Questions to the user, on the terminal. */

/* Is there anybody? */
bool ask_can(void);
/* Print " [y/N] " and take the answer; nobody's answer is no. */
bool ask_yes(void);
