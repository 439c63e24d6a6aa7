#pragma once
#include "json/json.h"
#include "machine/home.h"
#include "machine/paths.h"
#include "machine/setting.h"

/* What a machine has of the host's files, and where: the user's home, volumes, the kernel's modules. */
#define MACHINE_SHARES_MAX 256u

struct machine_share {
	char *name;             /* "home", "modules", "volume-N", "mount-N" */
	char *source;           /* canonical path of the host */
	char *target;           /* where the machine has it */
	char *cache;            /* "auto", "none", "always" */
	struct text_list masks; /* what doesn't exist there, relative to source */
	bool read_only;
	bool is_file;
	bool is_home; /* target is the user's home */
	bool kept;    /* it is there at the next start too */
};

struct machine_shares {
	struct machine_share *items; /* in the order to bind: what others lie in comes before them */
	size_t count;
	unsigned mounts; /* how many were added by machine_shares_add() */
};

void machine_shares_clear(struct machine_shares *shares);
#define auto_machine_shares CLEANUP(machine_shares_clear)

/*
 * What a start shares. `home` is machine_home()'s; `modules` is the folder of the kernel's modules and `release` its
 * release (NULL: none). There is no share of a home that isn't the user's own: "/", one that is missing, or one of
 * another user where this one may not write; unless home-target asks for it. NOT_FOUND for what is gone, UNSUPPORTED
 * for what is neither a folder nor a file, USAGE for two at one place, one inside annex's own folders,
 * or a volume whose path leads over a link by now.
 */
MUST_USE int machine_shares_make(struct machine_shares *ret, const struct machine_paths *paths,
				 const struct machine_settings *settings, const char *home, const char *modules,
				 const char *release, struct annex_error **err);

/* One more while the machine runs. EXISTS when something is shared at its target, or below that. *ret_share stays in
 * `shares`, until these change. */
MUST_USE int machine_shares_add(struct machine_shares *shares, const struct machine_share **ret_share,
				const struct machine_paths *paths, const struct machine_settings *settings,
				const char *home, const char *volume, bool kept, struct annex_error **err);
/* Whether this very volume is shared already; it is kept from now on then. */
bool machine_shares_keep(struct machine_shares *shares, const char *volume);
MUST_USE int machine_shares_remove(struct machine_shares *shares, const char *target, struct annex_error **err);
/* NULL: nothing is shared at exactly this place. */
const struct machine_share *machine_shares_find(const struct machine_shares *shares, const char *target);

/* The source by O_PATH: what the plan found there, USAGE if a link has taken its place. */
MUST_USE int machine_share_open(int *ret_fd, const struct machine_share *share, struct annex_error **err);

/* Is this path, relative to a share, one that is masked, or in one? ASCII letters match in either case, as they do for
 * the server. */
bool machine_share_masked(const char *mask, const char *path);

/* As the wire has it, "NAME FLAGS TARGET"; NULL: out of memory. The caller frees it. */
char *machine_share_wire(const struct machine_share *share);
/* The list of objects that STATE carries; NULL: out of memory. */
json_t *machine_shares_encode(const struct machine_shares *shares);
/* Where the machine has a folder of the host, given that list: at its own path if a share shows it there (compilers and
 * git write absolute paths down), else by the share whose source is nearest around it. NULL: nowhere, or out of memory.
 * `host_path` is canonical. The caller frees it. */
char *machine_shares_map(const json_t *shares, const char *host_path);
