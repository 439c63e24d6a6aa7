#pragma once
#include "guest/userdb.h"

/* The host's user, as the machine is to know it. */
struct reconcile_wish {
	const char *name, *group; /* fit for a machine (username.h) */
	uint32_t uid, gid;
	const char *home;
	bool home_is_shared; /* the host's own is bound there */
	bool home_is_taken;  /* there is something else */
	const char *shell;   /* one that the image has */
	bool is_settled;     /* by an earlier start: names and ids are the machine's owner's affair since */
	bool wants_subids;   /* even if the files are not there */
	uint32_t today;      /* in days since 1970 */
	bool (*shell_works)(const char *path);
};

/* Who it is; what of this lies in files. Texts are the caller's. */
struct reconcile_result {
	char *name, *home;
	uint32_t gid;
	char *old_home; /* is to be moved to `home`; NULL: nothing is */
	/* What of these in the home is to be given to the user. */
	bool renumbered;
	uint32_t old_uid, old_gid;
};
void reconcile_clear(struct reconcile_result *result);
#define auto_reconcile CLEANUP(reconcile_clear)

/* Make the account files say it. -ENOMEM. Pure. */
MUST_USE int reconcile(struct reconcile_result *ret, struct userdb *db, const struct reconcile_wish *wish);

/* Whether a text can stand in a field of these files. */
bool reconcile_is_field(const char *text);
/* Whether a path is a home that somebody can live in, rather than one of accounts that nobody logs in to. */
bool reconcile_is_home(const char *path);
