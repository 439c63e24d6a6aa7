#ifndef ANNEX_MACHINE_H
#define ANNEX_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include <annex/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Machines. A machine is a record, a disk and a console log in the data folder; while it runs, one supervisor process
 * owns its virtual machine. Every function looks at the machine as it is at that moment: other programs may change it
 * too.
 */
struct annex_machine;

enum annex_machine_state {
	ANNEX_MACHINE_STOPPED,
	ANNEX_MACHINE_STARTING, /* the virtual machine is being started */
	ANNEX_MACHINE_BOOTING,  /* it runs, its services are not up yet */
	ANNEX_MACHINE_RUNNING,
	ANNEX_MACHINE_STOPPING,
	ANNEX_MACHINE_FAILED,    /* it ended without being asked to; see annex_machine_info.failure */
	ANNEX_MACHINE_RESTARTING /* it ended, and waits to be started again, by the setting restart */
};
/* "stopped", "starting", … */
const char *annex_machine_state_name(enum annex_machine_state state);

struct annex_machine_options {
	size_t size;
	const char *name;            /* NULL: from the image, made unique with a number */
	const char *const *settings; /* "key=value" as for annex_machine_set(), NULL-terminated, on top of the
				      * defaults of annex and of config.json; may be NULL */
	const char *platform;        /* of the image; NULL: the host's */
	int input_fd;                /* for image "-" */
	int make_default;            /* the first machine becomes the default anyway */
	const char *pull;            /* "missing", "always" or "never" ask a registry; NULL: missing */
	const char *scheme;          /* as in annex_image_pull_options */
};
#define ANNEX_MACHINE_OPTIONS_INIT                                                       \
	{                                                                                \
		sizeof(struct annex_machine_options), NULL, NULL, NULL, 0, 0, NULL, NULL \
	}

/*
 * Make a stopped machine from an image: a name known to annex_image_open(), a source of annex_image_import(), or a
 * reference of annex_image_pull(), which is asked for as `pull` says. Blocks;
 * reports progress; can be cancelled; on failure nothing stays. Errors besides the image's: EXISTS (the name is taken),
 * USAGE (name or setting), NOT_FOUND (no kernel), UNSUPPORTED. *ret is the caller's. options may be NULL.
 */
int annex_machine_create(struct annex_machine **ret, struct annex_context *context, const char *image,
			 const struct annex_machine_options *options, struct annex_error **err);
/* name NULL: $ANNEX_MACHINE, else the default machine. NOT_FOUND. */
int annex_machine_open(struct annex_machine **ret, struct annex_context *context, const char *name,
		       struct annex_error **err);
/* All, by name. Free with annex_machine_list_free(). */
int annex_machine_list(struct annex_machine ***ret, size_t *ret_count, struct annex_context *context,
		       struct annex_error **err);
void annex_machine_list_free(struct annex_machine **list, size_t count);
void annex_machine_unref(struct annex_machine *machine);

/* Owned by the machine, until the last unref. */
const char *annex_machine_name(const struct annex_machine *machine);

/* A snapshot; texts are owned by the machine and valid until its next annex_machine_info() or the last unref. */
struct annex_machine_info {
	const char *name;
	const char *id;      /* 32 hexadecimal digits, for life */
	const char *image;   /* as it was named */
	const char *ip;      /* the machine's address on the host, or NULL */
	const char *failure; /* why it failed, or NULL */
	int64_t created;     /* seconds since 1970 */
	int64_t started;     /* 0: not running */
	uint64_t memory;     /* bytes; effective while it runs */
	uint64_t disk;       /* bytes, as the machine sees it */
	uint64_t disk_used;  /* bytes on the host */
	unsigned cpus;
	enum annex_machine_state state;
	int is_default;
	int pid;             /* of the supervisor, or 0 */
	int vm_pid;          /* of QEMU, or 0 */
	const char *pending; /* a JSON object: settings that wait for the next start, "{}" for none */
	const char *waiting; /* what it waits for: a boot, space on the host's disk, its next start; or NULL */
	unsigned restarts;   /* how often it was started again, in a row, by the setting restart */
};
int annex_machine_info(const struct annex_machine_info **ret, struct annex_machine *machine, struct annex_error **err);
/* Every setting, effective and pending, and the state, as a JSON object; the caller frees *ret. */
int annex_machine_describe(char **ret, struct annex_machine *machine, struct annex_error **err);

/* Boot it and wait until it is up; success at once when it runs. Errors: GUEST (panic, or never came up: what it waited
 * for is in the message), NOT_FOUND (kernel, QEMU), TIMEOUT, CANCELLED (the machine goes on booting). */
int annex_machine_start(struct annex_machine *machine, struct annex_error **err);
/* The same, but be the supervisor: this process must be prepared to be replaced (exec). Returns only on failure. */
int annex_machine_start_foreground(struct annex_machine *machine, struct annex_error **err);
/* The command line that start would run, as a shell takes it, with a newline at its end; the caller frees *ret. */
int annex_machine_command_line(char **ret, struct annex_machine *machine, struct annex_error **err);

/* Ask the guest's init, wait, then force. timeout_ms 0: force at once; negative: the default (90 s, more under
 * emulation). A stopped machine is success. */
int annex_machine_stop(struct annex_machine *machine, int64_t timeout_ms, struct annex_error **err);
/* Stops it (timeout_ms as above) and removes everything of it. */
int annex_machine_delete(struct annex_machine *machine, int64_t timeout_ms, struct annex_error **err);

/* "key=value" pairs, NULL-terminated: all are checked, then all are kept. *ret_pending (may be NULL): non-zero when
 * something of it takes effect at the next start only. USAGE for an unknown key (the message lists the valid ones) or a
 * bad value. volume= and publish= take effect at once on a machine that runs; when that fails, nothing is kept. Its
 * HOST may begin with "~" or be relative to the working folder. KEY=default is what a new machine has, by the user's
 * config.json. */
int annex_machine_set(struct annex_machine *machine, const char *const *settings, int *ret_pending,
		      struct annex_error **err);
int annex_machine_set_default(struct annex_machine *machine, struct annex_error **err);

/* The setting keys, in the order of the documentation; NULL past the end. */
const char *annex_setting_key(size_t index);
const char *annex_setting_help(size_t index);
/* The words that it takes, with a bar between them ("rw|ro|none"); NULL: others. */
const char *annex_setting_words(size_t index);

/*
 * Share a folder or a file of the host with a machine that runs, until it stops or annex_machine_umount(). `volume` is
 * "HOST:GUEST[:OPTIONS]" as in the setting. Blocks until the machine has it. BUSY: it does not run; EXISTS: something
 * is shared at GUEST; NOT_FOUND: HOST; USAGE.
 */
int annex_machine_mount(struct annex_machine *machine, const char *volume, struct annex_error **err);
/* `target` is where the machine has it. BUSY: it does not run, or a program uses what is there, unless `force` is
 * non-zero; NOT_FOUND: nothing is shared there. */
int annex_machine_umount(struct annex_machine *machine, const char *target, int force, struct annex_error **err);
/* What is shared, as a JSON list in the order of mounting; of a machine that does not run: what a start would share.
 * The caller frees *ret. */
int annex_machine_shares(char **ret, struct annex_machine *machine, struct annex_error **err);

enum annex_log {
	ANNEX_LOG_CONSOLE, /* what the machine's console shows */
	ANNEX_LOG_BOOT     /* the kernel's messages of the last boot */
};
struct annex_log_options {
	size_t size;
	int64_t lines;  /* only the last; negative: all */
	int64_t since;  /* only what was written then or later, in seconds since 1970; 0: all. Needs times */
	int follow;     /* go on with what comes */
	int timestamps; /* before each line when it was written, as RFC 3339 with milliseconds, or "-" where nobody
			   knows */
	int output_fd;
	int error_fd; /* for what a session wrote to its standard error */
};
#define ANNEX_LOG_OPTIONS_INIT                                      \
	{                                                           \
		sizeof(struct annex_log_options), -1, 0, 0, 0, 1, 2 \
	}
/*
 * Write a log, byte for byte as it came unless `timestamps` is set. The machine need not run. With `follow` it goes on,
 * over restarts of the machine too, until it is cancelled, the machine is deleted, or nobody reads what is written;
 * none of these is a failure. The kernel's log has no times of ours: USAGE with `since` or `timestamps`. options may be
 * NULL.
 */
int annex_machine_logs(struct annex_machine *machine, enum annex_log log, const struct annex_log_options *options,
		       struct annex_error **err);

#ifdef __cplusplus
}
#endif

#endif
