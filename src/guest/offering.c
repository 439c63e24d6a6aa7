#include "guest/offering.h"

#include "base/file.h"
#include "base/log.h"
#include "forward/offer.h"
#include "forward/socket.h"
#include "guest/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_SIZE = 32 };

static void name_folder(char name[NAME_SIZE], unsigned number)
{
	snprintf(name, NAME_SIZE, "session-%u", number);
}

/* The folder of all, which must be root's own: whoever could write there could put another's socket into the place of
 * one. */
static int open_folder(struct annex_error **err)
{
	auto_close int folder = -EBADF;
	struct stat st;

	if (mkdir(OFFERING_FOLDER, 0755) < 0 && errno != EEXIST)
		return fail_os(err, errno, "cannot make %s", OFFERING_FOLDER);
	folder = open(OFFERING_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0 || fstat(folder, &st) < 0)
		return fail_os(err, errno, "cannot open %s", OFFERING_FOLDER);
	if (st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
		return fail(err, ANNEX_ERROR_GUEST, "%s is not root's alone", OFFERING_FOLDER);
	return TAKE_FD(folder);
}

static int make_agent(const struct launch *launch, const struct passwd_user *user, const char *path, uint32_t forward,
		      struct annex_error **err)
{
	auto_close int folder = open_folder(err), listener = -EBADF;
	char name[NAME_SIZE];
	int result;

	if (folder < 0)
		return -1;
	name_folder(name, launch->number);
	result = file_remove_tree(folder, name); /* where /run outlives a boot */
	if (result < 0)
		return fail_os(err, result, "cannot remove %s/%s", OFFERING_FOLDER, name);
	if (mkdirat(folder, name, 0700) < 0)
		return fail_os(err, errno, "cannot make %s/%s", OFFERING_FOLDER, name);
	/* The folder is handed over last: until then nobody else can change what is in it. */
	if (socket_listen(&listener, path, err) < 0)
		return -1;
	if (lchown(path, user->uid, user->gid) < 0 ||
	    fchownat(folder, name, user->uid, user->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_os(err, errno, "cannot hand over %s", path);
	result = report_send_fd(launch->report, listener, (uint8_t)(OFFERING_TAG + forward));
	return result < 0 ? fail_os(err, result, "cannot report %s", path) : 0;
}

int offering_make_agent(char **ret, const struct launch *launch, const struct passwd_user *user,
			struct annex_error **err)
{
	auto_error struct annex_error *why = NULL;
	auto_free char *path = NULL;
	uint32_t forward = 0;
	struct offer offer;

	*ret = NULL;
	for (;; forward++) {
		if (!launch->open->forwards[forward])
			return 0;
		if (offer_parse(&offer, launch->open->forwards[forward]) && offer.agent)
			break;
	}
	if (asprintf(&path, "%s/session-%u/agent.sock", OFFERING_FOLDER, launch->number) < 0) {
		path = NULL;
		return fail_memory(err);
	}
	if (make_agent(launch, user, path, forward, &why) < 0)
		log_info("session %u has no SSH agent: %s", launch->number, annex_error_message(why));
	else
		*ret = TAKE(path);
	return 0;
}

void offering_remove_agent(unsigned number)
{
	auto_error struct annex_error *why = NULL;
	auto_close int folder = open_folder(&why);
	char name[NAME_SIZE];

	name_folder(name, number);
	if (folder < 0 || file_remove_tree(folder, name) < 0)
		log_info("cannot remove %s/%s", OFFERING_FOLDER, name);
}

int offering_listen(const struct launch *launch, struct annex_error **err)
{
	struct offer offer;
	int result;

	for (uint32_t i = 0; launch->open->forwards[i]; i++) {
		auto_close int listener = -EBADF;

		if (!offer_parse(&offer, launch->open->forwards[i]))
			return fail(err, ANNEX_ERROR_USAGE, "'%s' is no forward", launch->open->forwards[i]);
		if (offer.agent || !offer.by_guest)
			continue;
		if (socket_listen(&listener, offer.path, err) < 0)
			return fail_while(err, "in the machine");
		result = report_send_fd(launch->report, listener, (uint8_t)(OFFERING_TAG + i));
		if (result < 0)
			return fail_os(err, result, "cannot report %s", offer.path);
	}
	return 0;
}
