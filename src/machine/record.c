#include "machine/record.h"

#include "base/file.h"
#include "network/address.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const struct json_row record_rows[] = {
	JSON_ROW(JSON_ROW_U64, "version", struct machine_record, version, true),
	JSON_ROW(JSON_ROW_TEXT, "id", struct machine_record, id, true),
	JSON_ROW(JSON_ROW_TEXT, "name", struct machine_record, name, true),
	JSON_ROW(JSON_ROW_TEXT, "image", struct machine_record, image, true),
	JSON_ROW(JSON_ROW_TEXT, "imageId", struct machine_record, image_id, true),
	JSON_ROW(JSON_ROW_TEXT, "base", struct machine_record, base, true),
	JSON_ROW(JSON_ROW_TIME, "created", struct machine_record, created, true),
	JSON_ROW(JSON_ROW_TEXTS, "imageEnv", struct machine_record, environment, false),
	JSON_ROW(JSON_ROW_TEXTS, "imageCommand", struct machine_record, init_argv, false),
	JSON_ROW(JSON_ROW_TEXT, "stopSignal", struct machine_record, stop_signal, false),
	JSON_ROW(JSON_ROW_TEXT, "imageUser", struct machine_record, user, false),
	JSON_ROW(JSON_ROW_TEXT, "imageFolder", struct machine_record, folder, false),
};

static const struct json_row run_rows[] = {
	JSON_ROW(JSON_ROW_I64, "pid", struct machine_run, pid, true),
	JSON_ROW(JSON_ROW_U64, "pidStart", struct machine_run, pid_start, true),
	JSON_ROW(JSON_ROW_I64, "vmPid", struct machine_run, vm_pid, false),
	JSON_ROW(JSON_ROW_U64, "vmStart", struct machine_run, vm_start, false),
	JSON_ROW(JSON_ROW_TIME, "started", struct machine_run, started, true),
	JSON_ROW(JSON_ROW_TEXT, "accelerator", struct machine_run, accelerator, false),
	JSON_ROW(JSON_ROW_VALUE, "settings", struct machine_run, settings, false),
	JSON_ROW(JSON_ROW_TEXT, "socket", struct machine_run, socket, false),
};

static const struct json_row failure_rows[] = {
	JSON_ROW(JSON_ROW_U64, "kind", struct machine_failure, kind, true),
	JSON_ROW(JSON_ROW_TEXT, "message", struct machine_failure, message, true),
	JSON_ROW(JSON_ROW_TEXT, "hint", struct machine_failure, hint, false),
	JSON_ROW(JSON_ROW_TIME, "time", struct machine_failure, when, true),
};

void machine_record_clear(struct machine_record *record)
{
	json_clear(record, record_rows, COUNT_OF(record_rows));
	settings_clear(&record->settings);
}

/* An older annex has written none. */
static int decode_place(uint32_t *ret, const json_t *value, const char *what, struct annex_error **err)
{
	const json_t *address = json_object_get(value, "address");
	struct in_addr host = {0};

	if (!address)
		return 0;
	if (!json_is_string(address) || inet_pton(AF_INET, json_string_value(address), &host) != 1 ||
	    !place_of_host(ret, host) || !place_is_valid(*ret))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: address: not one of 127.88.0.0/16 for a machine", what);
	return 0;
}

int machine_record_load(struct machine_record *ret, const struct machine_paths *paths, struct annex_error **err)
{
	auto_machine_record struct machine_record made = {0};
	auto_error struct annex_error *cause = NULL;
	auto_json json_t *value = NULL;

	if (json_read_file(&value, AT_FDCWD, paths->record, &cause) < 0) {
		if (annex_error_kind(cause) == ANNEX_ERROR_NOT_FOUND) {
			fail(err, ANNEX_ERROR_NOT_FOUND, "there is no machine '%s'", paths->name);
			return fail_hint(err, "annex list");
		}
		if (err)
			*err = TAKE(cause);
		return -1;
	}
	if (json_decode(&made, value, record_rows, COUNT_OF(record_rows), paths->record, err) < 0)
		return -1;
	if (made.version != MACHINE_RECORD_VERSION)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s: version %llu is of another annex", paths->record,
			    (unsigned long long)made.version);
	if (strlen(made.id) != 32 || strspn(made.id, "0123456789abcdef") != 32 || strchr(made.base, '/'))
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: id or base is malformed", paths->record);
	if (decode_place(&made.place, value, paths->record, err) < 0 ||
	    settings_decode(&made.settings, json_object_get(value, "settings"), paths->record, err) < 0)
		return -1;
	*ret = made;
	made = (struct machine_record){0};
	return 0;
}

/* Inits insist on being process 1, which the built-in one is. */
static bool is_init(const char *command)
{
	static const char *const names[] = {"init",       "systemd",   "openrc-init",   "runit",
					    "runit-init", "s6-svscan", "s6-linux-init", "dinit"};
	const char *slash = strrchr(command, '/');

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(slash ? slash + 1 : command, names[i]) == 0)
			return true;
	}
	return false;
}

/* Without the image's user its command would run as root, which nobody asked for. */
int machine_record_check_service(const struct machine_record *record, struct annex_error **err)
{
	if (!record->settings.service)
		return 0;
	if (record->init_argv.count == 0) {
		fail(err, ANNEX_ERROR_USAGE, "service=true: image %s has neither an entrypoint nor a command",
		     record->image);
		return fail_hint(err, "leave service out, and start programs by 'annex run'");
	}
	if (is_init(record->init_argv.items[0])) {
		fail(err, ANNEX_ERROR_USAGE, "service=true: the command of image %s, %s, is an init and no service",
		     record->image, record->init_argv.items[0]);
		return fail_hint(err, "leave service out: the machine runs it as its init");
	}
	if (!record->user || !record->folder) {
		fail(err, ANNEX_ERROR_UNSUPPORTED,
		     "service=true: the annex that made this machine did not keep the image's user and folder");
		return fail_hint(err, "make a new machine by 'annex create --init builtin --service'");
	}
	return 0;
}

int machine_record_save(const struct machine_record *record, const char *path, struct annex_error **err)
{
	auto_json json_t *value = json_encode(record, record_rows, COUNT_OF(record_rows));
	char address[ADDRESS_TEXT];

	if (!value || json_object_set_new(value, "settings", settings_encode(&record->settings)) < 0 ||
	    (record->place &&
	     json_object_set_new(value, "address", json_string(place_host_text(address, record->place))) < 0))
		return fail_memory(err);
	return json_write_file(AT_FDCWD, path, value, err);
}

int machine_id_make(char **ret, struct annex_error **err)
{
	unsigned char raw[16];
	auto_text struct text id = {0};

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return fail_os(err, errno, "cannot get random numbers");
	for (size_t i = 0; i < sizeof(raw); i++)
		text_printf(&id, "%02x", raw[i]);
	*ret = text_take(&id);
	return *ret ? 0 : fail_memory(err);
}

static int load(void *ret, size_t size, const struct json_row *rows, size_t count, const char *path,
		struct annex_error **err)
{
	auto_json json_t *value = NULL;

	memset(ret, 0, size);
	if (json_read_file(&value, AT_FDCWD, path, err) < 0)
		return -1;
	if (json_decode(ret, value, rows, count, path, err) == 0)
		return 0;
	json_clear(ret, rows, count);
	return -1;
}

static int save(const void *from, const struct json_row *rows, size_t count, const char *path, struct annex_error **err)
{
	auto_json json_t *value = json_encode(from, rows, count);

	return value ? json_write_file(AT_FDCWD, path, value, err) : fail_memory(err);
}

void machine_run_clear(struct machine_run *run)
{
	json_clear(run, run_rows, COUNT_OF(run_rows));
}

int machine_run_load(struct machine_run *ret, const struct machine_paths *paths, struct annex_error **err)
{
	return load(ret, sizeof(*ret), run_rows, COUNT_OF(run_rows), paths->run, err);
}

int machine_run_save(const struct machine_run *run, const struct machine_paths *paths, struct annex_error **err)
{
	return save(run, run_rows, COUNT_OF(run_rows), paths->run, err);
}

void machine_failure_clear(struct machine_failure *failure)
{
	json_clear(failure, failure_rows, COUNT_OF(failure_rows));
}

int machine_failure_load(struct machine_failure *ret, const struct machine_paths *paths, struct annex_error **err)
{
	return load(ret, sizeof(*ret), failure_rows, COUNT_OF(failure_rows), paths->failure, err);
}

int machine_failure_save(const struct machine_failure *failure, const struct machine_paths *paths,
			 struct annex_error **err)
{
	return save(failure, failure_rows, COUNT_OF(failure_rows), paths->failure, err);
}
