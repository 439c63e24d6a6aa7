#include "machine/session.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RECORD     "session.jsonl"
#define RECORD_MAX (64u << 10)

static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_U64, "version", struct session_record, version, true),
	JSON_ROW(JSON_ROW_TEXT, "id", struct session_record, id, true),
	JSON_ROW(JSON_ROW_TEXT, "user", struct session_record, user, true),
	JSON_ROW(JSON_ROW_TEXT, "command", struct session_record, command, true),
	JSON_ROW(JSON_ROW_TIME, "started", struct session_record, started, true),
	JSON_ROW(JSON_ROW_TIME, "ended", struct session_record, ended, false),
	JSON_ROW(JSON_ROW_I64, "status", struct session_record, status, false),
	JSON_ROW(JSON_ROW_BOOL, "terminal", struct session_record, terminal, false),
	JSON_ROW(JSON_ROW_BOOL, "detached", struct session_record, detached, false),
	JSON_ROW(JSON_ROW_BOOL, "lost", struct session_record, lost, false),
};

void session_record_clear(struct session_record *record)
{
	json_clear(record, rows, COUNT_OF(rows));
}

json_t *session_record_encode(const struct session_record *record)
{
	json_t *value = json_encode(record, rows, COUNT_OF(rows));

	if (value && record->ended == 0) {
		json_object_del(value, "ended");
		json_object_del(value, "status");
	}
	return value;
}

static bool is_id(const char *text)
{
	return strlen(text) == SESSION_ID_DIGITS && strspn(text, "0123456789abcdef") == SESSION_ID_DIGITS;
}

int session_record_decode(struct session_record *ret, const json_t *value, const char *what, struct annex_error **err)
{
	auto_session_record struct session_record made = {0};

	if (json_decode(&made, value, rows, COUNT_OF(rows), what, err) < 0)
		return -1;
	if (made.version != SESSION_VERSION || !is_id(made.id))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: of another version, or malformed", what);
	*ret = made;
	made = (struct session_record){0};
	return 0;
}

int session_folder(char **ret, const struct machine_paths *paths, const char *id, struct annex_error **err)
{
	if (asprintf(ret, "%s/sessions%s%s", paths->folder, id ? "/" : "", id ? id : "") >= 0)
		return 0;
	*ret = NULL;
	return fail_memory(err);
}

/* Appended: the last line that is whole counts. To replace a file by another one makes file systems write it out at
 * once, and the supervisor must not wait for a disk. */
int session_record_save(const struct session_record *record, const struct machine_paths *paths,
			struct annex_error **err)
{
	auto_json json_t *value = session_record_encode(record);
	auto_free char *text = value ? json_text(value, false) : NULL, *folder = NULL, *path = NULL;
	auto_text struct text line = {0};
	auto_close int fd = -1;
	int result;

	if (session_folder(&folder, paths, record->id, err) < 0)
		return -1;
	path = path_join(folder, RECORD);
	text_printf(&line, "\n%s\n", text ? text : "");
	if (!text || !path || !text_ok(&line))
		return fail_memory(err);
	result = file_make_folders(folder, 0700);
	if (result == 0) {
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
		result = fd < 0 ? -errno : file_write_all(fd, line.data, line.size);
	}
	return result < 0 ? fail_os(err, result, "cannot write the record of session %s", record->id) : 0;
}

/* The last of its lines that is a record. */
static int load(struct session_record *ret, const char *folder, const char *id)
{
	auto_free char *path = NULL, *bytes = NULL;
	size_t size = 0;
	int found = -1;

	if (asprintf(&path, "%s/%s/" RECORD, folder, id) < 0) {
		path = NULL;
		return -1;
	}
	if (file_read(&bytes, &size, AT_FDCWD, path, RECORD_MAX) < 0)
		return -1;
	for (char *at = bytes, *line; (line = strsep(&at, "\n"));) {
		struct session_record record = {0};
		auto_json json_t *value = NULL;

		if (!*line || json_parse(&value, line, strlen(line), path, NULL) < 0 ||
		    session_record_decode(&record, value, path, NULL) < 0)
			continue;
		if (strcmp(record.id, id) == 0) {
			session_record_clear(ret);
			*ret = record;
			found = 0;
		} else {
			session_record_clear(&record);
		}
	}
	return found;
}

int session_list_add(struct session_list *list, struct session_record *taken, struct annex_error **err)
{
	struct session_record *grown = realloc(list->items, (list->count + 1) * sizeof(*grown));

	if (!grown) {
		session_record_clear(taken);
		return fail_memory(err);
	}
	list->items = grown;
	list->items[list->count++] = *taken;
	*taken = (struct session_record){0};
	return 0;
}

/* Stable: those of one second stay in the order in which they came. */
void session_list_sort(struct session_list *list)
{
	for (size_t i = 1; i < list->count; i++) {
		struct session_record moved = list->items[i];
		size_t at = i;

		for (; at > 0 && list->items[at - 1].started > moved.started; at--)
			list->items[at] = list->items[at - 1];
		list->items[at] = moved;
	}
}

static int load_all(struct session_list *list, DIR *dir, const char *folder, struct annex_error **err)
{
	struct dirent *entry;

	while ((entry = readdir(dir))) {
		struct session_record record = {0};

		if (is_id(entry->d_name) && load(&record, folder, entry->d_name) == 0 &&
		    session_list_add(list, &record, err) < 0)
			return -1;
	}
	return 0;
}

int session_list_load(struct session_list *ret, const struct machine_paths *paths, struct annex_error **err)
{
	auto_session_list struct session_list list = {0};
	auto_free char *folder = NULL;
	DIR *dir;
	int result;

	if (session_folder(&folder, paths, NULL, err) < 0)
		return -1;
	dir = opendir(folder);
	if (!dir && errno != ENOENT)
		return fail_os(err, errno, "cannot read %s", folder);
	result = dir ? load_all(&list, dir, folder, err) : 0;
	if (dir)
		closedir(dir);
	if (result < 0)
		return -1;
	session_list_sort(&list);
	*ret = list;
	list = (struct session_list){0};
	return 0;
}

void session_list_clear(struct session_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		session_record_clear(&list->items[i]);
	free(list->items);
	*list = (struct session_list){0};
}

void session_list_lose(const struct machine_paths *paths)
{
	auto_session_list struct session_list list = {0};

	if (session_list_load(&list, paths, NULL) < 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		if (list.items[i].ended != 0 || list.items[i].lost)
			continue;
		list.items[i].lost = true;
		if (session_record_save(&list.items[i], paths, NULL) < 0)
			return; /* it is lost all the same: nobody runs it */
	}
}
