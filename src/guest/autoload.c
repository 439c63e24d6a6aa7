/*
 * Few images have a modprobe, and the kernel would look for it in the agent's root, not in the machine's. So this
 * program is what the kernel starts. It asks the machine's modprobe, if there is one, which knows what the machine's
 * configuration says; else it does what modprobe does, by the texts of the shared modules: all that a module needs
 * stands in its line of modules.dep, last one first.
 */
#include "guest/autoload.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <linux/module.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define MODULES "/shares/modules"
#define MACHINE "/machine" /* the number of the init's process, as text */

enum { TEXT_LIMIT = 16 << 20, NAME_LIMIT = 256 };

void autoload_prepare(void)
{
	auto_close int fd = open("/proc/sys/kernel/modprobe", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, AUTOLOAD_PROGRAM, strlen(AUTOLOAD_PROGRAM)) < 0)
		log_info("the kernel cannot ask for modules: %s", strerror(errno));
}

void autoload_set_machine(pid_t init)
{
	char number[16];
	auto_close int fd = -1;

	if (init == 0) {
		unlink(MACHINE);
		return;
	}
	snprintf(number, sizeof(number), "%d", (int)init);
	fd = open(MACHINE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || file_write_all(fd, number, strlen(number)) < 0)
		log_info("the kernel cannot ask the machine's modprobe for modules");
}

/* KVM's node belongs to no module: what makes it work is the part of the processor's maker. */
static const char *kvm_module(const char *name)
{
	auto_free char *text = NULL;
	bool asked = strcmp(name, "char-major-10-232") == 0 || strcmp(name, "devname:kvm") == 0;

	return asked && file_read(&text, NULL, AT_FDCWD, "/proc/cpuinfo", TEXT_LIMIT) == 0 ? autoload_kvm(text) : NULL;
}

/* Returns if the machine has none. */
static void ask_machine(const char *name)
{
	static const char *const places[] = {"/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe",
					     "/usr/bin/modprobe"};
	const char *const argv[] = {"modprobe", "-q", "--", name, NULL};
	const char *const environment[] = {"HOME=/", "PATH=/sbin:/usr/sbin:/bin:/usr/bin", NULL};
	auto_free char *number = NULL;
	auto_close int init = -1;
	uint32_t pid = 0;

	if (file_read(&number, NULL, AT_FDCWD, MACHINE, 16) < 0 || text_to_u32(&pid, number, 10) < 0)
		return;
	init = (int)syscall(SYS_pidfd_open, pid, 0);
	if (init < 0 || setns(init, CLONE_NEWNS) < 0)
		return;
	for (size_t i = 0; i < COUNT_OF(places); i++)
		execve(places[i], (char *const *)argv, (char *const *)environment);
}

/* In names '-' counts as '_', but not in the sets of a pattern. False when it is too long. */
static bool normalize(char ret[NAME_LIMIT], const char *text, size_t size)
{
	bool in_set = false;

	if (size >= NAME_LIMIT)
		return false;
	for (size_t i = 0; i < size; i++) {
		in_set = text[i] == '[' || (in_set && text[i] != ']');
		ret[i] = text[i] == '-' && !in_set ? '_' : text[i];
	}
	ret[size] = '\0';
	return true;
}

bool autoload_is_module(const char *line, const char *name)
{
	char wanted[NAME_LIMIT], found[NAME_LIMIT];
	size_t path = strcspn(line, ":"), start = path, size;

	while (start > 0 && line[start - 1] != '/')
		start--;
	size = strcspn(line + start, ".:"); /* of .ko, .ko.xz */
	return line[path] == ':' && size > 0 && normalize(found, line + start, size) &&
	       normalize(wanted, name, strlen(name)) && strcmp(found, wanted) == 0;
}

const char *autoload_match(char *line, const char *name)
{
	char wanted[NAME_LIMIT], pattern[NAME_LIMIT];
	const char *keyword = strsep(&line, " "), *alias = strsep(&line, " "), *module = line;

	if (!module || strcmp(keyword, "alias") != 0 || !normalize(pattern, alias, strlen(alias)) ||
	    !normalize(wanted, name, strlen(name)))
		return NULL;
	return fnmatch(pattern, wanted, 0) == 0 ? module : NULL;
}

static bool insert(int dir, const char *path)
{
	auto_close int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	unsigned flags = text_ends(path, ".ko") ? 0 : MODULE_INIT_COMPRESSED_FILE;

	return fd >= 0 && (syscall(SYS_finit_module, fd, "", flags) == 0 || errno == EEXIST);
}

/* The module of a line of modules.dep; what it needs comes first. */
static bool load_line(int dir, const char *line)
{
	auto_free char *copy = strdup(line);
	char *needs = copy ? strchr(copy, ':') : NULL;

	if (!needs)
		return false;
	*needs++ = '\0';
	for (char *last; (last = strrchr(needs, ' ')); *last = '\0') {
		if (last[1] && !insert(dir, last + 1))
			return false;
	}
	return insert(dir, copy);
}

/* -ENOENT: there is no such module. */
static int load_module(int dir, const char *dep, const char *name)
{
	for (size_t length; *dep; dep += length + (dep[length] == '\n')) {
		auto_free char *line = NULL;

		length = strcspn(dep, "\n");
		line = strndup(dep, length);
		if (line && autoload_is_module(line, name))
			return load_line(dir, line) ? 0 : -EIO;
	}
	return -ENOENT;
}

static int load(int dir, const char *name)
{
	auto_free char *dep = NULL, *aliases = NULL;
	char *at, *line;
	int result = file_read(&dep, NULL, dir, "modules.dep", TEXT_LIMIT);

	if (result == 0)
		result = load_module(dir, dep, name);
	if (result != -ENOENT || file_read(&aliases, NULL, dir, "modules.alias", TEXT_LIMIT) < 0)
		return result;
	at = aliases;
	while ((line = strsep(&at, "\n"))) {
		const char *module = autoload_match(line, name);

		if (module && load_module(dir, dep, module) == 0)
			result = 0; /* there may be others of that name */
	}
	return result;
}

const char *autoload_kvm(const char *cpuinfo)
{
	const char *flags = strstr(cpuinfo, "\nflags");
	size_t length = flags ? strcspn(flags + 1, "\n") + 1 : 0;
	auto_free char *line = flags ? strndup(flags, length) : NULL;
	char *at = line, *flag;

	while ((flag = strsep(&at, " "))) {
		if (strcmp(flag, "svm") == 0)
			return "kvm_amd";
		if (strcmp(flag, "vmx") == 0)
			return "kvm_intel";
	}
	return NULL;
}

int autoload_main(int argc, char **argv)
{
	const char *name = argv[argc - 1], *kvm;
	auto_close int dir = -1;

	if (argc < 2)
		return 2;
	kvm = kvm_module(name);
	name = kvm ? kvm : name;
	dir = open(MODULES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ask_machine(name);
	return dir >= 0 && load(dir, name) == 0 ? 0 : 1;
}
