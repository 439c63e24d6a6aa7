/*
 * annex image export: an archive of an image.
 *
 * A file appears when it is complete: it is written without a name where the file system can, else under one beside it,
 * and then takes the place of what was there. What is no regular file (a pipe, a device) is written to as it is.
 */
#include "base/file.h"
#include "base/text.h"
#include "cli/images.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct export_options {
	const char *image;
	const char *output;
	const char *progress;
};

static const struct option options[] = {
	{OPTION_TEXT, 'o', "output", offsetof(struct export_options, output), "FILE",
	 "where to (default: standard output); a file that is there is replaced", COMPLETES_FILE},
	PROGRESS_ROW(struct export_options),
	{OPTION_WORD, 0, NULL, offsetof(struct export_options, image), "NAME", "name, digest or id of an image",
	 COMPLETES_IMAGE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

struct target {
	char *path;   /* not a symbolic link */
	char *folder; /* of it */
	char *beside; /* the name before it is complete; NULL: written in place */
	bool named;   /* there is something under that name */
	int fd;
};

static void target_clear(struct target *target)
{
	if (target->named)
		unlink(target->beside);
	if (target->fd >= 0)
		close(target->fd);
	free(target->path);
	free(target->folder);
	free(target->beside);
}
#define auto_target CLEANUP(target_clear)

static int open_in_place(struct target *target, struct annex_error **err)
{
	target->fd = open(target->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	return target->fd < 0 ? fail_os(err, errno, "cannot open %s", target->path) : 0;
}

static int open_beside(struct target *target, struct annex_error **err)
{
	size_t length = (size_t)(path_name(target->path) - target->path);

	target->folder = length ? strndup(target->path, length) : strdup(".");
	if (!target->folder || asprintf(&target->beside, "%s.part-%d", target->path, (int)getpid()) < 0) {
		target->beside = NULL;
		return fail_memory(err);
	}
	target->fd = open(target->folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (target->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return target->fd < 0 ? fail_os(err, errno, "cannot write into %s", target->folder) : 0;
	target->fd = open(target->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	target->named = target->fd >= 0;
	return target->fd < 0 ? fail_os(err, errno, "cannot make %s", target->beside) : 0;
}

static int target_open(struct target *target, const char *path, struct annex_error **err)
{
	struct stat info;

	target->path = realpath(path, NULL);
	if (!target->path && errno == ENOENT)
		target->path = strdup(path);
	if (!target->path)
		return fail_os(err, errno, "cannot write to %s", path);
	if (stat(target->path, &info) < 0)
		return errno == ENOENT ? open_beside(target, err)
				       : fail_os(err, errno, "cannot write to %s", target->path);
	if (S_ISDIR(info.st_mode))
		return fail(err, ANNEX_ERROR_USAGE, "%s is a folder", path);
	return S_ISREG(info.st_mode) ? open_beside(target, err) : open_in_place(target, err);
}

/* Everything is written: give it its name. */
static int target_finish(struct target *target, struct annex_error **err)
{
	char unnamed[64];
	int result;

	if (!target->beside)
		return 0;
	if (fsync(target->fd) < 0)
		return fail_os(err, errno, "cannot write %s", target->path);
	snprintf(unnamed, sizeof(unnamed), "/proc/self/fd/%d", target->fd);
	if (!target->named && linkat(AT_FDCWD, unnamed, AT_FDCWD, target->beside, AT_SYMLINK_FOLLOW) < 0)
		return fail_os(err, errno, "cannot make %s", target->beside);
	target->named = true;
	if (rename(target->beside, target->path) < 0)
		return fail_os(err, errno, "cannot make %s", target->path);
	target->named = false;
	result = file_sync_folder(AT_FDCWD, target->folder);
	return result < 0 ? fail_os(err, result, "cannot write %s", target->folder) : 0;
}

/* Where to: standard output, or a file that is not there yet. */
static int choose(struct target *target, const struct export_options *wanted, struct annex_error **err)
{
	if (wanted->output && !text_equal(wanted->output, "-"))
		return target_open(target, wanted->output, err);
	if (isatty(STDOUT_FILENO)) {
		fail(err, ANNEX_ERROR_USAGE, "an archive is nothing for a terminal");
		return fail_hint(err, "annex image export -o FILE %s", wanted->image);
	}
	target->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	return target->fd < 0 ? fail_os(err, errno, "cannot write to standard output") : 0;
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct export_options *wanted = parsed;
	auto_image struct annex_image *image = NULL;
	auto_target struct target target = {.fd = -EBADF};

	progress_set_mode(cli->progress, wanted->progress);
	if (annex_image_open(&image, cli->context, wanted->image, err) < 0 || choose(&target, wanted, err) < 0)
		return fail_while(err, "image export %s", wanted->image);
	if (annex_image_export(image, target.fd, err) < 0)
		return -1;
	return target_finish(&target, err) < 0 ? fail_while(err, "image export %s", wanted->image) : 0;
}

const struct command image_export_command = {
	.name = "image export",
	.aliases = "image save,save",
	.section = "Images",
	.summary = "write an image as an archive",
	.description =
		"Writes an image as an archive that 'annex image import', 'docker load' and 'podman load' read. Its "
		"layers are made anew, so that its id is another one.",
	.example = "annex image export -o debian.tar debian:12\nannex image export debian:12 | ssh host docker load",
	.options = options,
	.size = sizeof(struct export_options),
	.run = run,
};
