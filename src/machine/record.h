#pragma once
#include "json/json.h"
#include "machine/paths.h"
#include "machine/setting.h"

/* A machine as it is kept on disk, machine.json. Written atomically; changed under the edit lock. */
#define MACHINE_RECORD_VERSION 1u

struct machine_record {
	uint64_t version;
	char *id; /* 32 hexadecimal digits */
	char *name;
	char *image;    /* as the user named it */
	char *image_id; /* "sha256:…" */
	char *base;     /* key of the base disk in the image store */
	int64_t created;
	struct text_list environment; /* the image's */
	struct text_list init_argv;   /* the image's entrypoint and command */
	char *stop_signal;            /* the image's, "SIGRTMIN+3", or NULL */
	char *user, *folder;          /* the image's, or empty; NULL: made by an annex that didn't keep them */
	uint32_t place;               /* network/address.h, "address" in the file; 0: made by an annex that gave none */
	struct machine_settings settings;
};

void machine_record_clear(struct machine_record *record);
#define auto_machine_record CLEANUP(machine_record_clear)
/* NOT_FOUND with a hint when there is no such machine. */
MUST_USE int machine_record_load(struct machine_record *ret, const struct machine_paths *paths,
				 struct annex_error **err);
/* Can it do what its settings say of the image's command? */
MUST_USE int machine_record_check_service(const struct machine_record *record, struct annex_error **err);
MUST_USE int machine_record_save(const struct machine_record *record, const char *path, struct annex_error **err);
/* 32 random hexadecimal digits. */
MUST_USE int machine_id_make(char **ret, struct annex_error **err);

/* What runs now, run.json. */
struct machine_run {
	int64_t pid;        /* the supervisor's */
	uint64_t pid_start; /* spawn_start_time() of it */
	int64_t vm_pid;     /* QEMU's, 0 before it is started */
	uint64_t vm_start;
	int64_t started;         /* seconds since 1970 */
	char *accelerator;       /* "tcg" */
	struct json_t *settings; /* those in effect, as settings_encode() gives them */
	char *socket;            /* where its supervisor listens */
};
void machine_run_clear(struct machine_run *run);
#define auto_machine_run CLEANUP(machine_run_clear)
MUST_USE int machine_run_load(struct machine_run *ret, const struct machine_paths *paths, struct annex_error **err);
MUST_USE int machine_run_save(const struct machine_run *run, const struct machine_paths *paths,
			      struct annex_error **err);

/* How the last run ended, when it ended badly: failure.json. */
struct machine_failure {
	uint64_t kind; /* enum annex_error_kind */
	char *message;
	char *hint;
	int64_t when;
};
void machine_failure_clear(struct machine_failure *failure);
#define auto_machine_failure CLEANUP(machine_failure_clear)
MUST_USE int machine_failure_load(struct machine_failure *ret, const struct machine_paths *paths,
				  struct annex_error **err);
MUST_USE int machine_failure_save(const struct machine_failure *failure, const struct machine_paths *paths,
				  struct annex_error **err);
