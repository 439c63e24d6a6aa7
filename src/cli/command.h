#pragma once
#include "annex/annex.h"

#include "base/text.h"
#include "cli/fail.h"
#include "cli/option.h"
#include "cli/progress.h"

/* What a command works with. */
struct cli {
	struct annex_context *context; /* NULL for a COMMAND_ALONE */
	struct progress *progress;
	const struct command *command;
};

enum command_flags {
	COMMAND_ALONE = 1,  /* needs no context: works without a home */
	COMMAND_HIDDEN = 2, /* for scripts of ours */
};

/* A command is one constant record in a file of its own, and a line in command.c's table. */
struct command {
	const char *name;    /* "create", "image import" */
	const char *aliases; /* other spellings, separated by commas, or NULL */
	const char *section; /* of the overview */
	const char *summary; /* one line, without a full stop */
	const char *description;
	const char *example; /* lines, without indentation */
	const struct option *options;
	void (*add_help)(struct text *text); /* what the library knows and the rows don't; or NULL */
	size_t size;                         /* of what the options fill */
	unsigned flags;
	/* 0, or -1 and an error, or the exit status of a command that has reported its failures itself. */
	int (*run)(struct cli *cli, const void *options, struct annex_error **err);
	int (*exit_status)(const struct annex_error *err); /* NULL: fail_exit_status() */
};

/* All, in the order of the overview; NULL at the end. */
const struct command *command_at(size_t index);

/* Find the command that the words name, *ret_words getting how many of them; a leading `machine` or `m` is skipped.
 * NULL: none. */
const struct command *command_find(size_t *ret_words, const char *const *words);
/* Is it the first word of commands like `image import`? */
bool command_is_group(const char *word);
/* The command's name nearest to the words, or NULL. */
const char *command_closest(const char *const *words);
/* A command of the group nearest to a word that is none, or NULL. */
const char *command_closest_group(const char *word);
/* How many leading words are the accepted prefix. */
size_t command_prefix(const char *const *words);

extern const struct command create_command, run_command, start_command, stop_command, restart_command, list_command,
	inspect_command, set_command, set_default_command, ps_command, kill_command, logs_command, mount_command,
	umount_command, port_command, port_add_command, port_remove_command, delete_command, image_pull_command,
	image_import_command, image_list_command, image_inspect_command, image_delete_command, image_export_command,
	image_prune_command, image_login_command, image_logout_command, kernel_install_command, kernel_list_command,
	kernel_set_command, kernel_delete_command, network_create_command, network_list_command,
	network_inspect_command, network_delete_command, hosts_command, stats_command, df_command, doctor_command,
	version_command, completion_command, help_command, complete_command;
