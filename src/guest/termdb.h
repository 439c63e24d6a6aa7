#pragma once
#include "wire/message.h"

/* The machine's terminfo data base. `root`: "", or a folder that stands for the machine's root. */

/* Where entries are put in images whose ncurses doesn't look into /etc/terminfo: by TERMINFO_DIRS. */
#define TERMDB_OWN_FOLDERS "/etc/terminfo:/lib/terminfo:/usr/share/terminfo:/usr/lib/terminfo:/usr/local/share/terminfo"

struct termdb_choice {
	const char *name;   /* the wanted one, or a constant */
	bool needs_folders; /* TERMINFO_DIRS has to be TERMDB_OWN_FOLDERS for it */
};

/*
 * The terminal's name that programs in the machine know: the wanted one if the machine has an entry for it, or has one
 * once `entry` (compiled; may be nothing) is put there; else the next best. An image without any entry has no program
 * that needs one: the wanted name is kept. Runs as the machine's root.
 */
struct termdb_choice termdb_choose(const char *root, const char *wanted, const struct message_bytes *entry);
