/*
 * apt-cache and apt-get are run as they are found; what they print is read in the C locale. "apt-get download" writes
 * into its working folder, checks what it got against the signed lists, and asks for no right: as root it would
 * drop to the user _apt, who can't write into our folder, so there it is told not to.
 */
#include "kernel/apt.h"

#include "base/file.h"
#include "base/spawn.h"
#include "base/text.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>

enum { OUTPUT_LIMIT = 1 << 20 };

/* Best first: Debian's, Ubuntu's small ones, and what every distribution has. %s is the architecture's name. */
static const char *const metapackages[] = {"linux-image-cloud-%s", "linux-image-kvm", "linux-image-virtual",
					   "linux-image-%s", "linux-image-generic"};

static int run(char **ret, char **ret_stderr, int *ret_status, const char *const *argv, struct annex_error **err)
{
	auto_error struct annex_error *cause = NULL;

	if (spawn_capture(ret, ret_stderr, ret_status, argv, OUTPUT_LIMIT, &cause) == 0)
		return 0;
	if (annex_error_kind(cause) == ANNEX_ERROR_NOT_FOUND) {
		fail(err, ANNEX_ERROR_UNSUPPORTED, "this host has no apt to download a kernel with");
		return fail_hint(
			err,
			"annex kernel install --file /boot/vmlinuz-$(uname -r) --modules /lib/modules/$(uname -r)");
	}
	return fail_relayed(err, annex_error_kind(cause), annex_error_errno(cause), annex_error_message(cause),
			    annex_error_hint(cause));
}

/* Is it "NAME" up to what ends a name in a Depends field? */
static size_t name_length(const char *at)
{
	return strcspn(at, " ,(|:\n");
}

char *apt_depends(const char *shown, const char *prefix)
{
	const char *field = text_starts(shown, "Depends: ") ? shown : strstr(shown, "\nDepends: ");
	const char *end;

	if (!field)
		return NULL;
	field += strcspn(field, ":") + 1;
	end = field + strcspn(field, "\n");
	while (field < end) {
		const char *after;

		field += strspn(field, " ,|");
		after = field + strlen(prefix);
		if (text_starts(field, prefix) && *after >= '0' && *after <= '9')
			return strndup(field, name_length(field));
		field += strcspn(field, ",|\n");
		if (*field == '\n')
			break;
	}
	return NULL;
}

/* What apt knows about a package; NULL in *ret when it knows none of that name. */
static int show(char **ret, const char *package, struct annex_error **err)
{
	const char *const argv[] = {"apt-cache", "show", "--no-all-versions", package, NULL};
	auto_free char *out = NULL, *errors = NULL;
	int status = 0;

	if (run(&out, &errors, &status, argv, err) < 0)
		return -1;
	*ret = status == 0 && *out ? TAKE(out) : NULL;
	return 0;
}

static const char *architecture(void)
{
	struct utsname host;

	return uname(&host) == 0 && text_equal(host.machine, "aarch64") ? "arm64" : "amd64";
}

/* The newest kernel package, and that of its modules (NULL: they are in it). */
static int find(char **ret_image, char **ret_modules, struct annex_error **err)
{
	for (size_t i = 0; i < COUNT_OF(metapackages); i++) {
		auto_text struct text name = {0};
		auto_free char *meta = NULL, *image = NULL, *shown = NULL;
		const char *part = strstr(metapackages[i], "%s");

		text_add_bytes(&name, metapackages[i],
			       part ? (size_t)(part - metapackages[i]) : strlen(metapackages[i]));
		if (part)
			text_add(&name, architecture());
		if (!text_ok(&name))
			return fail_memory(err);
		if (show(&meta, name.data, err) < 0)
			return -1;
		image = meta ? apt_depends(meta, "linux-image-") : NULL;
		if (!image)
			continue;
		if (show(&shown, image, err) < 0)
			return -1;
		if (!shown)
			continue;
		*ret_modules = apt_depends(shown, "linux-modules-");
		*ret_image = TAKE(image);
		return 0;
	}
	fail(err, ANNEX_ERROR_NOT_FOUND, "apt's lists have no kernel package");
	return fail_hint(err, "sudo apt-get update");
}

/* The last line that starts with "E: ", without that. */
static const char *last_error(char *errors)
{
	char *line, *at = errors;
	const char *found = "apt-get failed";

	while ((line = strsep(&at, "\n"))) {
		if (text_starts(line, "E: "))
			found = line + 3;
	}
	return found;
}

static int download(const char *folder, const char *package, struct annex_error **err)
{
	const char *argv[] = {"env", "-C", folder, "LC_ALL=C", "apt-get", "-q", "download", package, NULL, NULL, NULL};
	auto_free char *errors = NULL;
	int status = 0;

	if (geteuid() == 0) {
		argv[8] = "-o";
		argv[9] = "APT::Sandbox::User=root";
	}
	if (run(NULL, &errors, &status, argv, err) < 0)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return fail(err, ANNEX_ERROR_CANCELLED, "downloading %s was interrupted", package);
	fail(err, ANNEX_ERROR_NETWORK, "cannot download %s: %s", package, last_error(errors));
	return fail_hint(err,
			 "sudo apt-get update; without a network: annex kernel install --deb FILE, or --file VMLINUZ "
			 "--modules DIR");
}

static void cleanup_folder(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}

/* The file in the folder whose name starts with "PACKAGE_". */
static int find_file(char **ret, const char *folder, const char *package, struct annex_error **err)
{
	CLEANUP(cleanup_folder) DIR *files = opendir(folder);
	size_t length = strlen(package);
	struct dirent *entry;

	if (!files)
		return fail_os(err, errno, "cannot read %s", folder);
	while ((entry = readdir(files))) {
		if (!text_starts(entry->d_name, package) || entry->d_name[length] != '_' ||
		    !text_ends(entry->d_name, ".deb"))
			continue;
		*ret = path_join(folder, entry->d_name);
		return *ret ? 0 : fail_memory(err);
	}
	return fail(err, ANNEX_ERROR_NETWORK, "apt-get downloaded no file of %s", package);
}

int apt_download(char **ret, const char *folder, int (*progress)(const char *what, void *data), void *data,
		 struct annex_error **err)
{
	auto_free char *image = NULL, *modules = NULL;
	const char *packages[2];

	if (find(&image, &modules, err) < 0)
		return -1;
	assert(image);
	packages[0] = modules;
	packages[1] = image;
	for (size_t i = 0; i < COUNT_OF(packages); i++) {
		auto_free char *what = NULL;

		if (!packages[i])
			continue;
		if (asprintf(&what, "downloading %s", packages[i]) < 0) {
			what = NULL;
			return fail_memory(err);
		}
		if (progress && progress(what, data) != 0)
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
		if (download(folder, packages[i], err) < 0)
			return -1;
	}
	return find_file(ret, folder, image, err);
}
