/*
 * Nothing is reserved on the host: 127.0.0.0/8 is the loopback's own, and who binds first has a port. What can be seen
 * when a place is chosen are the sockets of this moment, of all users: hence the hash, which leads different users to
 * different places, and the look at /proc/net, for what happens to be there nevertheless.
 *
 * Two who choose at once are kept apart by the lock, which is held until the choice can be read in a record. Records
 * that can't be read count as having no place: settling sorts out what is found to be double later.
 */
#include "machine/place.h"

#include "base/file.h"
#include "base/hash.h"
#include "machine/name.h"
#include "network/address.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

enum { ROW = 254 /* x and y are 1 to 254 */, PLACES = ROW * ROW };

static void mark(uint8_t used[MACHINE_PLACES / 8], uint32_t place)
{
	used[place / 8] |= (uint8_t)(1u << place % 8);
}

static bool is_marked(const uint8_t used[MACHINE_PLACES / 8], uint32_t place)
{
	return used[place / 8] & 1u << place % 8;
}

int machine_place_lock(int *ret, const char *data, struct annex_error **err)
{
	auto_free char *path = path_join(data, "network.lock");
	int lock;

	if (!path)
		return fail_memory(err);
	lock = file_make_folders(data, 0700);
	if (lock == 0)
		lock = file_lock(AT_FDCWD, path, LOCK_EX);
	if (lock < 0)
		return fail_os(err, lock, "cannot lock %s", path);
	*ret = lock;
	return 0;
}

/* "  12: 0307587F:1F90 00000000:0000 0A …": the kernel prints the words of addresses as its processor has them. */
void machine_place_mark_line(uint8_t used[MACHINE_PLACES / 8], const char *line)
{
	const char *at = strstr(line, ": ");
	char digits[33], word[9];
	size_t length;
	uint32_t words[4] = {0}, place = 0, last = 0;

	if (!at)
		return;
	at += 2;
	length = strspn(at, "0123456789ABCDEFabcdef");
	if ((length != 8 && length != 32) || at[length] != ':')
		return;
	memcpy(digits, at, length);
	for (size_t i = 0; i < length / 8; i++) {
		memcpy(word, digits + 8 * i, 8);
		word[8] = '\0';
		if (text_to_u32(&words[i], word, 16) < 0)
			return;
		last = words[i];
	}
	if (length == 32 && (words[0] != 0 || words[1] != 0 || words[2] != htonl(0xffff)))
		return;
	if (place_of_host(&place, (struct in_addr){last}))
		mark(used, place);
}

static void mark_sockets(uint8_t used[MACHINE_PLACES / 8])
{
	static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"};
	char line[512];

	for (size_t i = 0; i < COUNT_OF(tables); i++) {
		FILE *file = fopen(tables[i], "re");

		while (file && fgets(line, sizeof(line), file))
			machine_place_mark_line(used, line);
		if (file)
			fclose(file);
	}
}

typedef void other_fn(const struct machine_record *other, void *data);

static int each_record(const char *data, other_fn *fn, void *fn_data, struct annex_error **err)
{
	auto_free char *folder = path_join(data, "machines");
	struct dirent *entry;
	int result = 0;
	DIR *open;

	if (!folder)
		return fail_memory(err);
	open = opendir(folder);
	if (!open && errno != ENOENT)
		return fail_os(err, errno, "cannot read %s", folder);
	while (open && result == 0 && (entry = readdir(open))) {
		auto_machine_paths struct machine_paths paths = {0};
		auto_machine_record struct machine_record record = {0};

		if (machine_name_check(entry->d_name, NULL) < 0)
			continue;
		result = machine_paths_make(&paths, data, "", "", entry->d_name, err);
		if (result == 0 && machine_record_load(&record, &paths, NULL) == 0)
			fn(&record, fn_data);
	}
	if (open)
		closedir(open);
	return result;
}

static void mark_record(const struct machine_record *other, void *data)
{
	if (other->place)
		mark(data, other->place);
}

int machine_place_choose(uint32_t *ret, const char *data, const char *id, struct annex_error **err)
{
	auto_free uint8_t *used = calloc(1, MACHINE_PLACES / 8);
	char text[64];
	uint32_t first;

	if (!used)
		return fail_memory(err);
	if (each_record(data, mark_record, used, err) < 0)
		return -1;
	mark_sockets(used);
	snprintf(text, sizeof(text), "%u:%.32s", (unsigned)getuid(), id);
	first = hash_bytes(HASH_BEGIN, text, strlen(text));
	for (uint32_t i = 0; i < PLACES; i++) {
		uint32_t index = (first + i) % PLACES, place = (index / ROW + 1) << 8 | (index % ROW + 1);

		if (!is_marked(used, place)) {
			*ret = place;
			return 0;
		}
	}
	return fail(err, ANNEX_ERROR_EXISTS, "no address is left in 127.88.0.0/16");
}

struct search {
	const struct machine_record *record;
	bool is_taken; /* by an older one */
};

static void compare(const struct machine_record *other, void *data)
{
	struct search *search = data;
	const struct machine_record *record = search->record;

	if (text_equal(other->name, record->name) || other->place != record->place)
		return;
	if (other->created < record->created ||
	    (other->created == record->created && strcmp(other->name, record->name) < 0))
		search->is_taken = true;
}

static int settle(struct machine_record *record, const struct machine_paths *paths, struct annex_error **err)
{
	auto_close int edit = -1, lock = -1;
	struct machine_record again = {0};
	struct search search = {.record = record};
	uint32_t place = 0;

	edit = file_lock(AT_FDCWD, paths->edit_lock, LOCK_EX);
	if (edit < 0)
		return fail_os(err, edit, "cannot lock machine '%s'", record->name);
	if (machine_record_load(&again, paths, err) < 0)
		return -1;
	machine_record_clear(record);
	*record = again;
	if (machine_place_lock(&lock, paths->data, err) < 0 || each_record(paths->data, compare, &search, err) < 0)
		return -1;
	if (record->place && !search.is_taken)
		return 0;
	if (machine_place_choose(&place, paths->data, record->id, err) < 0)
		return -1;
	record->place = place;
	return machine_record_save(record, paths->record, err);
}

int machine_place_settle(struct machine_record *record, const struct machine_paths *paths, struct annex_error **err)
{
	return settle(record, paths, err) < 0 ? fail_while(err, "cannot give machine '%s' an address", paths->name) : 0;
}
