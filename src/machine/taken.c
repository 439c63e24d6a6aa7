/*
 * Only the kernel knows who has a port, and it tells which user that is, and the socket's number: /proc/net has all
 * sockets of all users. Which program has it can be seen in /proc/PID/fd, if that is this user's. annex-network hides
 * there (it is not dumpable): what the user's machines publish is in what they wrote down as they started.
 */
#include "machine/taken.h"

#include "base/file.h"
#include "base/text.h"
#include "machine/name.h"
#include "machine/record.h"
#include "network/publish.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 512, FIELDS = 10, LISTENS = 0x0a };

static void close_folder(DIR **folder)
{
	if (*folder)
		closedir(*folder);
}
#define auto_folder CLEANUP(close_folder)

static void close_stream(FILE **file)
{
	if (*file)
		fclose(*file);
}
#define auto_stream CLEANUP(close_stream)

/* "0100007F:1F90": the kernel prints the words of an address as its processor has them. */
static bool parse_place(struct taken_line *made, char *text)
{
	char *colon = strchr(text, ':');
	size_t words = colon ? (size_t)(colon - text) / 8 : 0;
	uint32_t port, parts[4] = {0};

	if ((words != 1 && words != 4) || (size_t)(colon - text) != words * 8)
		return false;
	if (text_to_u32(&port, colon + 1, 16) < 0 || port > UINT16_MAX)
		return false;
	for (size_t i = 0; i < words; i++) {
		char word[9] = "";

		memcpy(word, text + 8 * i, 8);
		if (text_to_u32(&parts[i], word, 16) < 0)
			return false;
	}
	made->port = (uint16_t)port;
	made->address = (struct packet_address){.v6 = words == 4};
	if (words == 1)
		made->address.of.v4.s_addr = parts[0];
	else
		memcpy(&made->address.of.v6_, parts, sizeof(parts));
	if (words == 4 && IN6_IS_ADDR_V4MAPPED(&made->address.of.v6_))
		made->address = (struct packet_address){.of.v4.s_addr = parts[3]};
	return true;
}

bool taken_parse_line(struct taken_line *ret, const char *line, int protocol)
{
	enum { PLACE = 1, STATE = 3, UID = 7, INODE = 9 };
	char copy[LINE_MAX_BYTES], *fields[FIELDS] = {NULL}, *rest = NULL;
	struct taken_line made = {0};
	uint32_t state = 0;
	size_t count = 0;

	if (strlen(line) >= sizeof(copy))
		return false;
	memcpy(copy, line, strlen(line) + 1);
	for (char *word = strtok_r(copy, " \t\n", &rest); word && count < FIELDS; word = strtok_r(NULL, " \t\n", &rest))
		fields[count++] = word;
	if (count < FIELDS || !text_ends(fields[0], ":") || text_to_u32(&state, fields[STATE], 16) < 0 ||
	    (protocol == IPPROTO_TCP && state != LISTENS) || !parse_place(&made, fields[PLACE]) ||
	    text_to_u32(&made.uid, fields[UID], 10) < 0 || text_to_u64(&made.inode, fields[INODE], 10) < 0)
		return false;
	*ret = made;
	return true;
}

static bool is_any(const struct packet_address *address)
{
	return address->v6 ? IN6_IS_ADDR_UNSPECIFIED(&address->of.v6_) : address->of.v4.s_addr == INADDR_ANY;
}

/* Is it in the way of who wants to listen at `address`? One at [::] takes IPv4, too, as a rule. */
static bool is_in_the_way(const struct taken_line *line, const struct packet_address *address)
{
	if (is_any(&line->address) && (line->address.v6 || !address->v6))
		return true;
	if (line->address.v6 != address->v6)
		return false;
	return is_any(address) || (address->v6 ? IN6_ARE_ADDR_EQUAL(&line->address.of.v6_, &address->of.v6_)
					       : line->address.of.v4.s_addr == address->of.v4.s_addr);
}

/* The socket at exactly this address comes before one that takes all. */
static bool find_socket(struct taken_line *ret, const struct packet_address *address, uint16_t port, int protocol)
{
	static const char *const tables[][2] = {{"/proc/net/tcp", "/proc/net/tcp6"},
						{"/proc/net/udp", "/proc/net/udp6"}};
	bool found = false;

	for (size_t i = 0; i < 2; i++) {
		auto_stream FILE *file = fopen(tables[protocol == IPPROTO_UDP][i], "re");
		char text[LINE_MAX_BYTES];
		struct taken_line line;

		while (file && fgets(text, sizeof(text), file)) {
			if (!taken_parse_line(&line, text, protocol) || line.port != port ||
			    !is_in_the_way(&line, address) || (found && is_any(&line.address)))
				continue;
			*ret = line;
			found = true;
		}
	}
	return found;
}

static bool has_socket(uint32_t pid, const char *wanted)
{
	char path[64], target[64];
	auto_folder DIR *folder = NULL;
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	folder = opendir(path);
	while (folder && (entry = readdir(folder))) {
		ssize_t size = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);

		if (size <= 0)
			continue;
		target[size] = '\0';
		if (strcmp(target, wanted) == 0)
			return true;
	}
	return false;
}

static int name_process(char **ret, uint32_t pid, struct annex_error **err)
{
	auto_free char *comm = NULL, *clean = NULL;
	char path[64];
	size_t size;

	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	if (file_read(&comm, &size, AT_FDCWD, path, 4096) < 0) /* it has ended */
		return 0;
	comm[strcspn(comm, "\n")] = '\0';
	clean = text_clean(comm, 64);
	if (!clean)
		return fail_memory(err);
	if (asprintf(ret, "%s (pid %u)", clean, pid) < 0) {
		*ret = NULL;
		return fail_memory(err);
	}
	return 0;
}

static int find_process(char **ret, uint64_t inode, struct annex_error **err)
{
	auto_folder DIR *processes = opendir("/proc");
	char wanted[64];
	struct dirent *entry;
	uint32_t pid;

	snprintf(wanted, sizeof(wanted), "socket:[%llu]", (unsigned long long)inode);
	while (processes && (entry = readdir(processes))) {
		if (text_to_u32(&pid, entry->d_name, 10) == 0 && has_socket(pid, wanted))
			return name_process(ret, pid, err);
	}
	return 0;
}

static bool publishes(const struct machine_paths *paths, const struct publish *wanted)
{
	auto_machine_run struct machine_run run = {0};
	auto_close int lock = -1;
	const json_t *text;
	bool found = false;
	size_t i;

	if (machine_run_load(&run, paths, NULL) < 0)
		return false;
	json_array_foreach(json_object_get(run.settings, "publish"), i, text)
	{
		struct publish publish;

		if (json_is_string(text) && publish_parse(&publish, json_string_value(text), NULL) == 0 &&
		    publish_collides(&publish, wanted))
			found = true;
	}
	/* What a machine has left that was killed does not count. */
	lock = found ? file_lock(AT_FDCWD, paths->lock, LOCK_SH | LOCK_NB) : -1;
	return found && lock == -EWOULDBLOCK;
}

static int find_machine(char **ret, const struct machine_paths *paths, const struct publish *wanted,
			struct annex_error **err)
{
	auto_free char *folder = path_join(paths->data, "machines");
	auto_folder DIR *machines = folder ? opendir(folder) : NULL;
	struct dirent *entry;

	if (!folder)
		return fail_memory(err);
	while (machines && (entry = readdir(machines))) {
		auto_machine_paths struct machine_paths other = {0};

		if (machine_name_check(entry->d_name, NULL) < 0 || text_equal(entry->d_name, paths->name))
			continue;
		if (machine_paths_make(&other, paths->data, paths->config, paths->runtime, entry->d_name, err) < 0)
			return -1;
		if (!publishes(&other, wanted))
			continue;
		if (asprintf(ret, "machine '%s'", entry->d_name) < 0) {
			*ret = NULL;
			return fail_memory(err);
		}
		return 0;
	}
	return 0;
}

static int name_user(char **ret, uid_t uid, struct annex_error **err)
{
	char buffer[4096];
	struct passwd entry, *found = NULL;
	int length;

	if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) == 0 && found)
		length = asprintf(ret, "a program of user '%s'", found->pw_name);
	else
		length = asprintf(ret, "a program of user %u", (unsigned)uid);
	if (length >= 0)
		return 0;
	*ret = NULL;
	return fail_memory(err);
}

int taken_by(char **ret, const struct machine_paths *paths, const struct packet_address *address, uint16_t port,
	     int protocol, struct annex_error **err)
{
	const struct publish wanted = {
		.address = *address, .protocol = protocol, .host = port, .guest = port, .count = 1};
	auto_free char *name = NULL;
	struct taken_line line;

	*ret = NULL;
	if (!find_socket(&line, address, port, protocol))
		return 0;
	if (line.uid == getuid() && find_machine(&name, paths, &wanted, err) < 0)
		return -1;
	if (!name && find_process(&name, line.inode, err) < 0)
		return -1;
	if (!name && name_user(&name, line.uid, err) < 0)
		return -1;
	*ret = TAKE(name);
	return 0;
}

static int hint(struct annex_error **err, const struct machine_paths *paths, const struct publish *publish,
		const char *text, bool kept)
{
	auto_free char *other = NULL;
	struct publish free_one = *publish;

	free_one.host = 0;
	other = publish_text(&free_one);
	if (!other)
		return -1;
	if (kept)
		return fail_hint(err, "for any free port: annex set -n %s publish=-%s publish=%s", paths->name, text,
				 other);
	return fail_hint(err, "for any free port: annex port add -n %s %s", paths->name, other);
}

static bool is_taken(const struct annex_error *refusal)
{
	return annex_error_kind(refusal) == ANNEX_ERROR_EXISTS && text_ends(annex_error_message(refusal), " is taken");
}

int taken_refuse(struct annex_error **err, const struct annex_error *refusal, const struct machine_paths *paths,
		 const char *text, bool kept)
{
	auto_free char *holder = NULL;
	char place[PUBLISH_PLACE_TEXT];
	struct publish publish;

	if (!is_taken(refusal) || publish_parse(&publish, text, NULL) < 0)
		return fail_relayed(err, annex_error_kind(refusal), annex_error_errno(refusal),
				    annex_error_message(refusal), annex_error_hint(refusal));
	for (unsigned i = 0; i < publish.count && !holder; i++) {
		uint16_t port = (uint16_t)(publish.host + i);

		if (taken_by(&holder, paths, &publish.address, port, publish.protocol, err) < 0)
			return -1;
		if (holder)
			fail(err, ANNEX_ERROR_EXISTS, "port %s is taken by %s",
			     publish_place(place, &publish.address, port, publish.protocol), holder);
	}
	if (!holder)
		fail_relayed(err, ANNEX_ERROR_EXISTS, 0, annex_error_message(refusal), annex_error_hint(refusal));
	return hint(err, paths, &publish, text, kept);
}
