/*
 * All account files are read, changed in memory (reconcile.c), and then written, /etc/passwd last: whoever finds the
 * user's line there finds all the rest done, and a start that was interrupted before does the same again. The lock is
 * that of useradd and its kin.
 *
 * STATE holds the id of the user for whom this was done and checked, and by whom: what the image's script has made is
 * its affair at later starts, too. A copy of the disk has it as well.
 */
#include "guest/account.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "guest/etcfile.h"
#include "guest/home.h"
#include "guest/privilege.h"
#include "guest/reconcile.h"
#include "guest/shell.h"
#include "guest/username.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STATE "/var/lib/annex/account"
#define LOCK  "/etc/.pwd.lock" /* of lckpwdf(3) */

#define BY_US     "built-in"
#define BY_SCRIPT "script"

enum { SECONDS_PER_DAY = 86400, LOCK_TRIES = 150, LOCK_AGAIN_MS = 100, STATE_MAX = 4096 };

static const struct {
	const char *path;
	mode_t mode; /* of a new one */
} files[USERDB_COUNT] = {
	[USERDB_SUBUID] = {"/etc/subuid", 0644},   [USERDB_SUBGID] = {"/etc/subgid", 0644},
	[USERDB_GSHADOW] = {"/etc/gshadow", 0640}, [USERDB_SHADOW] = {"/etc/shadow", 0640},
	[USERDB_GROUP] = {"/etc/group", 0644},     [USERDB_PASSWD] = {"/etc/passwd", 0644},
};

void account_user_clear(struct account_user *user)
{
	free(user->name);
	free(user->home);
	*user = (struct account_user){0};
}

/* The descriptor is the lock. */
static int lock(int *ret, struct annex_error **err)
{
	auto_close int fd = open(LOCK, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fd < 0)
		return fail_os(err, errno, "cannot open %s", LOCK);
	for (int i = 0; fcntl(fd, F_SETLK, &whole) < 0; i++) {
		if (i >= LOCK_TRIES || (errno != EACCES && errno != EAGAIN && errno != EINTR))
			return fail_os(err, errno, "cannot lock the image's accounts");
		poll(NULL, 0, LOCK_AGAIN_MS);
	}
	*ret = TAKE_FD(fd);
	return 0;
}

static int load(struct userdb *db, struct annex_error **err)
{
	for (size_t i = 0; i < USERDB_COUNT; i++) {
		if (etcfile_read(&db->tables[i].text, &db->tables[i].there, files[i].path, ACCOUNT_FILE_MAX, err) < 0)
			return fail_hint(err, "the image's accounts can't be used; see docs/account.md");
	}
	return 0;
}

static int save(const struct userdb *db, struct annex_error **err)
{
	for (size_t i = 0; i < USERDB_COUNT; i++) {
		if (db->tables[i].changed && etcfile_write(files[i].path, &db->tables[i].text, files[i].mode, err) < 0)
			return -1;
	}
	return 0;
}

enum settled { SETTLED_NOT, SETTLED_BY_US, SETTLED_BY_SCRIPT };

static enum settled look_up_state(uint32_t uid)
{
	auto_text struct text text = {0};
	struct entry entry = {0};
	uint32_t known = 0;

	if (etcfile_read(&text, NULL, STATE, STATE_MAX, NULL) < 0 || !entry_next(&entry, &text) ||
	    !entry_number(&known, &entry, 0) || known != uid)
		return SETTLED_NOT;
	return entry_is(&entry, 1, BY_SCRIPT) ? SETTLED_BY_SCRIPT : SETTLED_BY_US;
}

int account_settle(const struct account *account, bool by_script, struct annex_error **err)
{
	char line[64];
	int result;

	snprintf(line, sizeof(line), "%u:%s\n", account->uid, by_script ? BY_SCRIPT : BY_US);
	result = file_write_atomic(AT_FDCWD, STATE, line, strlen(line), 0644);
	return result < 0 ? fail_os(err, result, "cannot write %s", STATE) : 0;
}

static bool has_subid_tools(void)
{
	return access("/usr/bin/newuidmap", X_OK) == 0 || access("/usr/bin/podman", X_OK) == 0;
}

/* Homes first: what can't be done on the disk is not in the files. */
static int set_up_home(const struct account *account, struct reconcile_result *result, bool settled,
		       struct annex_error **err)
{
	const uint32_t from[2] = {result->old_uid, result->old_gid}, to[2] = {account->uid, result->gid};
	bool made = false;
	int moved;

	if (account->home_is_shared || !reconcile_is_home(result->home))
		return 0;
	moved = result->old_home ? home_move(result->old_home, result->home) : 0;
	if (moved < 0)
		log_info("%s stays where it is: %s", result->old_home, strerror(-moved));
	if (home_make(&made, result->home, account->uid, result->gid, err) < 0)
		return -1;
	if (result->renumbered && !made)
		home_give(result->home, from, to);
	if (made && settled)
		log_info("the home folder %s is made again", result->home);
	return 0;
}

static int set_up(struct account_user *user, const struct account *account, const struct userdb *db,
		  struct reconcile_result *result, bool settled, struct annex_error **err)
{
	auto_error struct annex_error *refused = NULL;
	bool granted = false;

	if (set_up_home(account, result, settled, err) < 0 || save(db, err) < 0)
		return -1;
	if (privilege_grant(&granted, result->name, account->uid, &refused) < 0)
		log_info("%s may be asked for a password: %s", result->name, annex_error_message(refused));
	user->rest = granted || userdb_changed(db) || !settled ? ACCOUNT_CHECK : ACCOUNT_DONE;
	user->name = TAKE(result->name);
	user->home = TAKE(result->home);
	return 0;
}

/* The host's home, if it can be one in the machine. */
static char *fit_home(const struct account *account, const char *name)
{
	char *home;

	if (account->home_is_shared ? reconcile_is_field(account->home) : reconcile_is_home(account->home))
		return strdup(account->home);
	return asprintf(&home, "/home/%s", name) < 0 ? NULL : home;
}

static int do_ourselves(struct account_user *user, const struct account *account, struct userdb *db,
			struct reconcile_wish *wish, struct annex_error **err)
{
	auto_free char *group = username_fit(account->group, "users"), *shell = shell_choose(account->shell);
	auto_reconcile struct reconcile_result result = {0};

	if (!group || !shell)
		return fail_memory(err);
	wish->group = group;
	wish->shell = shell;
	wish->uid = account->uid;
	wish->gid = account->gid;
	wish->home_is_shared = account->home_is_shared;
	wish->home_is_taken = home_is_taken(wish->home, account->uid);
	wish->wants_subids = has_subid_tools();
	wish->today = (uint32_t)(time_realtime_ns() / 1000000000 / SECONDS_PER_DAY);
	wish->shell_works = shell_works;
	return reconcile(&result, db, wish) < 0 ? fail_memory(err)
						: set_up(user, account, db, &result, wish->is_settled, err);
}

/* What exists, as it is; but where the host's home is shared, that is the home. */
static int take(struct account_user *user, const struct account *account, struct userdb *db, struct annex_error **err)
{
	auto_free char *name = NULL, *home = NULL;
	struct entry entry;

	if (!userdb_find_id(&entry, db, USERDB_PASSWD, account->uid))
		return fail(err, ANNEX_ERROR_NOT_FOUND, "no account has the id %u", account->uid);
	name = entry_copy(&entry, PASSWD_NAME);
	home = account->home_is_shared ? strdup(account->home) : entry_copy(&entry, PASSWD_HOME);
	if (!name || !home)
		return fail_memory(err);
	if (reconcile_is_field(home))
		userdb_set(db, USERDB_PASSWD, name, PASSWD_HOME, home);
	if (save(db, err) < 0)
		return -1;
	*user = (struct account_user){.name = TAKE(name), .home = TAKE(home)};
	return 0;
}

int account_take(struct account_user *ret, const struct account *account, struct annex_error **err)
{
	auto_userdb struct userdb db = {0};
	auto_close int locked = -1;

	return lock(&locked, err) < 0 || load(&db, err) < 0 ? -1 : take(ret, account, &db, err);
}

static int pass_on(struct annex_error **err, const struct annex_error *refused)
{
	return fail_relayed(err, annex_error_kind(refused), annex_error_errno(refused), annex_error_message(refused),
			    annex_error_hint(refused));
}

/* The script is the image's way instead of ours. It runs until it has succeeded, and for an account that is gone. */
static int ensure(struct account_user *user, const struct account *account, struct annex_error **err)
{
	auto_free char *name = username_fit(account->name, "user");
	auto_free char *home = name ? fit_home(account, name) : NULL;
	enum settled settled = look_up_state(account->uid);
	auto_error struct annex_error *refused = NULL;
	auto_userdb struct userdb db = {0};
	struct stat st;
	struct entry entry;
	bool exists;

	if (!name || !home)
		return fail_memory(err);
	if (load(&db, &refused) < 0) {
		if (settled == SETTLED_NOT)
			return pass_on(err, refused);
		log_info("%s", annex_error_message(refused));
		*user = (struct account_user){.name = TAKE(name), .home = TAKE(home)};
		return 0;
	}
	exists = userdb_find_id(&entry, &db, USERDB_PASSWD, account->uid);
	if (exists && settled == SETTLED_BY_SCRIPT)
		return take(user, account, &db, err);
	if ((!exists || settled == SETTLED_NOT) && lstat(ACCOUNT_SCRIPT, &st) == 0) {
		*user = (struct account_user){.name = TAKE(name), .home = TAKE(home), .rest = ACCOUNT_RUN};
		return 0;
	}
	if (do_ourselves(user, account, &db,
			 &(struct reconcile_wish){.name = name, .home = home, .is_settled = settled != SETTLED_NOT},
			 &refused) == 0)
		return 0;
	if (!exists || settled == SETTLED_NOT)
		return pass_on(err, refused);
	/* It has been good enough for an earlier start, and who is in the machine can mend it: a full disk. */
	log_info("%s", annex_error_message(refused));
	userdb_clear(&db);
	return load(&db, err) < 0 ? -1 : take(user, account, &db, err);
}

int account_ensure(struct account_user *ret, const struct account *account, struct annex_error **err)
{
	auto_account_user struct account_user user = {0};
	auto_close int locked = -1;

	if (account->uid == 0) {
		*ret = (struct account_user){.name = strdup("root"), .home = strdup("/root")};
		return ret->name && ret->home ? 0 : fail_memory(err);
	}
	if (lock(&locked, err) < 0 || ensure(&user, account, err) < 0)
		return fail_while(err, "cannot set up the account of %s", account->name);
	*ret = user;
	user = (struct account_user){0};
	return 0;
}
