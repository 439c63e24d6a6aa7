#pragma once
#include "base/error.h"

#define MACHINE_CONSOLE_LOG "console.log" /* what its pieces are called */
#define MACHINE_BOOT_LOG    "boot.log"

/* Where everything of one machine is; absolute. docs/layout.md describes the files. */
struct machine_paths {
	char *name;
	char *data;      /* $XDG_DATA_HOME/annex */
	char *config;    /* $XDG_CONFIG_HOME/annex */
	char *runtime;   /* $XDG_RUNTIME_DIR/annex */
	char *folder;    /* DATA/machines/NAME */
	char *record;    /* machine.json */
	char *disk;      /* disk.qcow2 */
	char *lock;      /* held by the supervisor for its life */
	char *edit_lock; /* held while the record is changed */
	char *run;       /* run.json, while it runs */
	char *failure;   /* failure.json, after it ended badly */
	char *boot_log;  /* boot.log */
	char *log;       /* supervisor.log */
};

MUST_USE int machine_paths_make(struct machine_paths *ret, const char *data, const char *config, const char *runtime,
				const char *name, struct annex_error **err);
void machine_paths_clear(struct machine_paths *paths);
#define auto_machine_paths CLEANUP(machine_paths_clear)

/* RUNTIME/<first 12 digits of the id>.sock; the caller frees *ret. */
MUST_USE int machine_socket_path(char **ret, const struct machine_paths *paths, const char *id,
				 struct annex_error **err);
