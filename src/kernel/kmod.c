/*
 * depmod works on a folder that stands for the modules' one, with links to what is in that: so it changes nothing of
 * what boot relies on (a depmod that can't read compressed modules would leave them out of modules.dep), finds the
 * modules whatever the layout that it was built for (/lib or /usr/lib), and needs to write nowhere else. What it has
 * made is then copied, modules.dep.bin last: its presence means that all are there.
 */
#include "kernel/kmod.h"

#include "base/file.h"
#include "base/spawn.h"
#include "base/text.h"
#include "kernel/modules.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LAST "modules.dep.bin"

static const char *const made[] = {
	"modules.alias.bin",         "modules.symbols.bin", "modules.builtin.bin",
	"modules.builtin.alias.bin", "modules.devname",     LAST,
};

enum { OUTPUT_LIMIT = 64 << 10 };

/* Removed when its owner leaves. */
struct stage {
	char *base;   /* holds lib/modules/RELEASE */
	char *folder; /* that */
};

static void stage_clear(struct stage *stage)
{
	if (stage->base && file_remove_tree(AT_FDCWD, stage->base) < 0)
		free(TAKE(stage->folder)); /* in the folder for temporary files, which is swept by others */
	free(stage->base);
	free(stage->folder);
}

static void cleanup_folder(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

char *kmod_find(void)
{
	static const char *const elsewhere[] = {"/usr/sbin/depmod", "/sbin/depmod"};
	char *found = spawn_find("depmod");

	for (size_t i = 0; i < COUNT_OF(elsewhere) && !found; i++)
		found = spawn_find(elsewhere[i]);
	return found;
}

bool kmod_is_indexed(const char *folder)
{
	auto_free char *last = path_join(folder, LAST);

	return last && file_exists(AT_FDCWD, last);
}

static int make_base(struct stage *stage, const char *release, struct annex_error **err)
{
	const char *temporary = getenv("TMPDIR");
	auto_free char *usr = NULL;
	int result;

	if (asprintf(&stage->base, "%s/annex-depmod-XXXXXX", temporary && *temporary ? temporary : "/tmp") < 0) {
		stage->base = NULL;
		return fail_memory(err);
	}
	if (!mkdtemp(stage->base)) {
		fail_os(err, errno, "cannot make %s", stage->base);
		free(TAKE(stage->base));
		return -1;
	}
	if (asprintf(&stage->folder, "%s/lib/modules/%s", stage->base, release) < 0) {
		stage->folder = NULL;
		return fail_memory(err);
	}
	result = file_make_folders(stage->folder, 0755);
	usr = path_join(stage->base, "usr");
	if (!usr)
		return fail_memory(err);
	if (result == 0 && symlink(".", usr) < 0)
		result = -errno;
	return result < 0 ? fail_os(err, result, "cannot make %s", stage->folder) : 0;
}

/* All but what depmod makes itself. */
static int link_modules(const struct stage *stage, const char *folder, struct annex_error **err)
{
	CLEANUP(cleanup_folder) DIR *files = opendir(folder);
	struct dirent *entry;

	if (!files)
		return fail_os(err, errno, "cannot read %s", folder);
	while ((entry = readdir(files))) {
		auto_free char *from = path_join(folder, entry->d_name), *to = path_join(stage->folder, entry->d_name);

		if (!from || !to)
			return fail_memory(err);
		if (entry->d_name[0] == '.' || text_equal(entry->d_name, "build") ||
		    text_equal(entry->d_name, "source") ||
		    (text_starts(entry->d_name, "modules.") && !text_starts(entry->d_name, "modules.builtin") &&
		     !text_equal(entry->d_name, "modules.order")) ||
		    text_ends(entry->d_name, ".bin"))
			continue;
		if (symlink(from, to) < 0)
			return fail_os(err, errno, "cannot make %s", to);
	}
	return 0;
}

static int run_depmod(const struct stage *stage, const char *release, struct annex_error **err)
{
	auto_free char *program = kmod_find(), *output = NULL, *errors = NULL;
	const char *const argv[] = {program, "-b", stage->base, release, NULL};
	int status = 0;

	if (!program) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "depmod, which modprobe in machines needs, is not installed");
		return fail_hint(err, KMOD_HINT);
	}
	if (spawn_capture(&output, &errors, &status, argv, OUTPUT_LIMIT, err) < 0)
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fail(err, ANNEX_ERROR_SYSTEM, "%s failed: %.*s", program, (int)strcspn(errors, "\n"), errors);
	return 0;
}

static int copy_one(int to, int from, const char *name, struct annex_error **err)
{
	auto_free char *bytes = NULL;
	size_t size = 0;
	int result = file_read(&bytes, &size, from, name, MODULES_TEXT_LIMIT);

	if (result == -ENOENT && !text_equal(name, LAST)) /* nothing for it to say, or an older depmod */
		return 0;
	if (result == 0)
		result = file_write_atomic(to, name, bytes, size, 0644);
	return result < 0 ? fail_os(err, result, "cannot write %s", name) : 0;
}

int kmod_index(const char *folder, const char *release, struct annex_error **err)
{
	CLEANUP(stage_clear) struct stage stage = {0};
	auto_free char *full = realpath(folder, NULL);
	auto_close int from = -1, to = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (to < 0 || !full)
		return fail_os(err, errno, "cannot read %s", folder);
	if (make_base(&stage, release, err) < 0 || link_modules(&stage, full, err) < 0 ||
	    run_depmod(&stage, release, err) < 0)
		return -1;
	from = open(stage.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return fail_os(err, errno, "cannot read %s", stage.folder);
	for (size_t i = 0; i < COUNT_OF(made); i++) {
		if (copy_one(to, from, made[i], err) < 0)
			return fail_while(err, "%s", folder);
	}
	return 0;
}
