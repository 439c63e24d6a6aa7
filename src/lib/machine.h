#pragma once
#include "annex/machine.h"

#include "lib/context.h"
#include "lib/link.h"
#include "machine/record.h"
#include "network/address.h"

/* Insides of a machine object, shared by the files of the library that work on machines. */
struct annex_machine {
	unsigned references;
	struct annex_context *context;
	struct machine_paths paths;
	struct machine_record record;   /* as last loaded */
	struct annex_machine_info info; /* as last asked for, with the texts below */
	struct link_state state;
	struct machine_failure failure;
	char *pending; /* JSON */
	char address[ADDRESS_TEXT];
};

static inline void cleanup_machine(struct annex_machine **machine)
{
	annex_machine_unref(*machine);
}
#define auto_machine CLEANUP(cleanup_machine)

/* A machine whose record is there. */
MUST_USE int machine_open_named(struct annex_machine **ret, struct annex_context *context, const char *name,
				struct annex_error **err);
/* Read the record again. */
MUST_USE int machine_reload(struct annex_machine *machine, struct annex_error **err);

/* The name of the default machine, or NULL when there is none; the caller frees *ret. */
MUST_USE int machine_default_name(char **ret, const struct annex_context *context, struct annex_error **err);
/* NULL: none from now on. */
MUST_USE int machine_default_write(const struct annex_context *context, const char *name, struct annex_error **err);

/* The names of all machines, sorted. */
MUST_USE int machine_names(struct text_list *ret, const struct annex_context *context, struct annex_error **err);

/* A folder beside the machines' for work under way: ".new-PID-START" or ".gone-PID-START-ID". Those of dead processes
 * are removed by machine_sweep(). The caller frees *ret. */
MUST_USE int machine_scratch_path(char **ret, const struct annex_context *context, const char *purpose, const char *id,
				  struct annex_error **err);
void machine_sweep(const struct annex_context *context);

/* The supervisor's command line. */
MUST_USE int machine_supervisor_argv(struct text_list *ret, const struct annex_context *context,
				     const struct machine_paths *paths, bool foreground, struct annex_error **err);

/* What needs more than the table of settings knows: kernels must be there, disks only grow. `before` NULL: a new
 * machine. A kernel's relative path becomes absolute. */
MUST_USE int machine_check_settings(const struct annex_context *context, struct machine_settings *settings,
				    const struct machine_settings *before, struct annex_error **err);
/* init=image is refused when the image, of which `base` is the disk, brings none: never a record that can't boot. */
MUST_USE int machine_check_init(const struct machine_record *record, const char *base, struct annex_error **err);

/* What is set and waits for the next start. NULL: out of memory. */
json_t *machine_pending(const json_t *set, const json_t *effective);
