/*
 * QEMU is asked by running it: `-sandbox on --version` proves the sandbox and tells the version at once, `-accel help`,
 * `-netdev help` and `-device help` what is built in. Short processes; their answers are kept in a file under the
 * program's path, size and time of change, so that later commands pay one stat(). The file is a cache: whatever is
 * wrong with it, the program is asked again, and a folder that can't be written costs nothing but time.
 */
#include "qemu/probe.h"

#include "base/file.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/text.h"
#include "json/json.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#define CACHE_NAME    "qemu.json"
#define CACHE_VERSION 3u
#define ANSWER_LIMIT  (256u << 10)

/* What the answers are kept under, and the answers. */
struct record {
	uint64_t version;
	uint64_t size;
	int64_t changed_ns;
	struct qemu_probe probe;
};

static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_U64, "version", struct record, version, true),
	JSON_ROW(JSON_ROW_TEXT, "program", struct record, probe.program, true),
	JSON_ROW(JSON_ROW_U64, "size", struct record, size, true),
	JSON_ROW(JSON_ROW_I64, "changed_ns", struct record, changed_ns, true),
	JSON_ROW(JSON_ROW_TEXT, "qemu", struct record, probe.version, true),
	JSON_ROW(JSON_ROW_U64, "major", struct record, probe.major, true),
	JSON_ROW(JSON_ROW_U64, "minor", struct record, probe.minor, true),
	JSON_ROW(JSON_ROW_BOOL, "kvm", struct record, probe.kvm, true),
	JSON_ROW(JSON_ROW_BOOL, "sandbox", struct record, probe.sandbox, true),
	JSON_ROW(JSON_ROW_BOOL, "dgram", struct record, probe.dgram, true),
	JSON_ROW(JSON_ROW_BOOL, "grows", struct record, probe.grows, true),
};

static void record_clear(struct record *record)
{
	json_clear(record, rows, COUNT_OF(rows));
}
#define auto_record CLEANUP(record_clear)

void qemu_probe_clear(struct qemu_probe *probe)
{
	free(probe->program);
	free(probe->version);
	*probe = (struct qemu_probe){0};
}

static int find_program(char **ret, struct annex_error **err)
{
	auto_free char *name = NULL, *found = NULL;
	const char *set = getenv("ANNEX_QEMU");
	struct utsname host;

	if (set && *set) {
		found = spawn_find(set);
		if (!found) {
			fail(err, ANNEX_ERROR_NOT_FOUND, "no QEMU at %s", set);
			return fail_hint(err, "unset ANNEX_QEMU, or let it name the program");
		}
		*ret = TAKE(found);
		return 0;
	}
	uname(&host);
	if (asprintf(&name, "qemu-system-%s", host.machine) < 0) {
		name = NULL;
		return fail_memory(err);
	}
	found = spawn_find(name);
	if (!found) {
		bool x86 = strcmp(host.machine, "x86_64") == 0;

		fail(err, ANNEX_ERROR_NOT_FOUND, "QEMU (%s) is not installed", name);
		return fail_hint(err, "sudo apt-get install %s (Fedora: sudo dnf install qemu-system-%s)",
				 x86 ? "qemu-system-x86" : "qemu-system-arm", x86 ? "x86-core" : "aarch64-core");
	}
	*ret = TAKE(found);
	return 0;
}

/* Standard output of the program; *ret_good tells whether it ended well. */
static int ask(char **ret, bool *ret_good, const char *program, const char *const *arguments, struct annex_error **err)
{
	const char *argv[6] = {program};
	int status = 0;

	for (size_t i = 0; arguments[i]; i++)
		argv[i + 1] = arguments[i];
	if (spawn_capture(ret, NULL, &status, argv, ANSWER_LIMIT, err) < 0)
		return -1;
	*ret_good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return 0;
}

/* A whole line of the answer? */
static bool has_line(const char *answer, const char *line)
{
	size_t length = strlen(line);

	for (const char *at = answer; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
		if (strncmp(at, line, length) == 0 && (at[length] == '\n' || at[length] == '\0'))
			return true;
	}
	return false;
}

/* "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)" */
static int parse_version(struct qemu_probe *probe, const char *answer, struct annex_error **err)
{
	static const char prefix[] = "QEMU emulator version ";
	auto_free char *major = NULL, *minor = NULL;
	const char *at = answer + strlen(prefix), *dot;

	if (!text_starts(answer, prefix))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s is not QEMU", probe->program);
	probe->version = strndup(at, strspn(at, "0123456789."));
	if (!probe->version)
		return fail_memory(err);
	dot = strchr(probe->version, '.');
	major = strndup(probe->version, dot ? (size_t)(dot - probe->version) : 0);
	minor = dot ? strndup(dot + 1, strspn(dot + 1, "0123456789")) : strdup("");
	if (!major || !minor)
		return fail_memory(err);
	if (text_to_u64(&probe->major, major, 10) < 0 || text_to_u64(&probe->minor, minor, 10) < 0)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s has no version that is understood", probe->program);
	return 0;
}

static int check_version(const struct qemu_probe *probe, struct annex_error **err)
{
	const uint64_t oldest = QEMU_OLDEST_MAJOR * 1000u + QEMU_OLDEST_MINOR;

	if (probe->major * 1000 + probe->minor >= oldest)
		return 0;
	fail(err, ANNEX_ERROR_UNSUPPORTED, "%s is QEMU %s; %d.%d or later is needed", probe->program, probe->version,
	     QEMU_OLDEST_MAJOR, QEMU_OLDEST_MINOR);
	return fail_hint(err, "install a later QEMU and name it with ANNEX_QEMU");
}

#define SANDBOX_TRIAL "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

/* Elsewhere than on x86 QEMU has no hot-plug of processors. */
static bool can_grow(const char *devices)
{
	struct utsname host;

	uname(&host);
	return strcmp(host.machine, "x86_64") == 0 && strstr(devices, "\"virtio-mem-pci\"");
}

static int ask_all(struct qemu_probe *probe, struct annex_error **err)
{
	auto_free char *version = NULL, *plain = NULL, *accels = NULL, *netdevs = NULL, *devices = NULL;
	const char *program = probe->program;
	bool good;

	if (ask(&version, &probe->sandbox, program, (const char *const[]){"-sandbox", SANDBOX_TRIAL, "--version", NULL},
		err) < 0)
		return -1;
	if (!probe->sandbox && ask(&plain, &good, program, (const char *const[]){"--version", NULL}, err) < 0)
		return -1;
	if (parse_version(probe, probe->sandbox ? version : plain, err) < 0 || check_version(probe, err) < 0)
		return -1;
	if (ask(&accels, &good, program, (const char *const[]){"-accel", "help", NULL}, err) < 0 ||
	    ask(&netdevs, &good, program, (const char *const[]){"-netdev", "help", NULL}, err) < 0 ||
	    ask(&devices, &good, program, (const char *const[]){"-device", "help", NULL}, err) < 0)
		return -1;
	probe->kvm = has_line(accels, "kvm");
	probe->dgram = has_line(netdevs, "dgram");
	probe->grows = can_grow(devices);
	return 0;
}

static bool read_cache(struct record *into, const struct record *wanted, const char *path)
{
	auto_error struct annex_error *err = NULL;
	auto_record struct record record = {0};
	auto_json json_t *value = NULL;

	if (json_read_file(&value, AT_FDCWD, path, &err) < 0 ||
	    json_decode(&record, value, rows, COUNT_OF(rows), CACHE_NAME, &err) < 0)
		return false;
	if (record.version != CACHE_VERSION || record.size != wanted->size || record.changed_ns != wanted->changed_ns ||
	    strcmp(record.probe.program, wanted->probe.program) != 0)
		return false;
	record_clear(into);
	*into = record;
	record = (struct record){0};
	return true;
}

static void write_cache(const struct record *record, const char *path)
{
	auto_error struct annex_error *err = NULL;
	auto_json json_t *value = json_encode(record, rows, COUNT_OF(rows));

	if (value && json_write_file(AT_FDCWD, path, value, &err) < 0)
		log_debug("qemu: what was found out is not kept: %s", annex_error_message(err));
}

int qemu_probe(struct qemu_probe *ret, const char *cache_folder, struct annex_error **err)
{
	auto_record struct record record = {.version = CACHE_VERSION};
	auto_free char *path = NULL;
	struct stat st;

	if (find_program(&record.probe.program, err) < 0)
		return -1;
	assert(record.probe.program);
	if (stat(record.probe.program, &st) < 0)
		return fail_os(err, errno, "%s", record.probe.program);
	record.size = (uint64_t)st.st_size;
	record.changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	if (cache_folder && !(path = path_join(cache_folder, CACHE_NAME)))
		return fail_memory(err);
	if (!path || !read_cache(&record, &record, path)) {
		if (ask_all(&record.probe, err) < 0)
			return -1;
		if (path)
			write_cache(&record, path);
	}
	*ret = record.probe;
	record.probe = (struct qemu_probe){0};
	return 0;
}
