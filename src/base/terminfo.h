#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Compiled terminfo entries (term(5)), as they come from the other side. Pure. */
#define TERMINFO_NAME_MAX  64u
#define TERMINFO_ENTRY_MAX (32u << 10) /* bytes; ncurses takes no more either */

/* Whether a terminal's name can be that of a file: "tmux-256color". */
bool terminfo_is_name(const char *name);
/* Whether it is an entry for a terminal of this name, complete and with its sizes right. */
bool terminfo_is_entry(const void *bytes, size_t size, const char *name);
