/*
 * annex mount and annex umount: what a running machine shares with this host.
 *
 * What is mounted here lasts until the machine stops; what every start shares is a setting, and `annex set` changes a
 * running machine too.
 */
#include "base/text.h"
#include "cli/help.h"
#include "cli/machines.h"
#include "cli/shares.h"

#include <stdio.h>
#include <string.h>

struct mount_options {
	const char *name;
	const char *format;
	const char *host;
	const char *guest;
	bool quiet;
};
#define AT(field) offsetof(struct mount_options, field)

static const struct option options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_CHOICE, 0, "format", AT(format), "table|json", "how to print what is shared (default table)",
	 COMPLETES_NOTHING},
	{OPTION_FLAG, 'q', "quiet", AT(quiet), NULL, "print only the paths in the machine", COMPLETES_NOTHING},
	{OPTION_WORD_OPTIONAL, 0, NULL, AT(host), "HOST", "a folder or a file of this host; or HOST:GUEST[:OPTIONS]",
	 COMPLETES_VOLUME},
	{OPTION_WORD_OPTIONAL, 0, NULL, AT(guest), "GUEST[:OPTIONS]",
	 "where the machine is to have it, and options with commas between them, see below", COMPLETES_GUEST},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static void add_help(struct text *text)
{
	text_add(text, "\nOptions of a share:\n");
	help_add_row(text, "rw", "the machine may change it (default)");
	help_add_row(text, "ro", "it may not");
	help_add_row(text, "cache=auto", "what changes here is seen there within a second (default)");
	help_add_row(text, "cache=none", "it is seen at once; everything is slower");
	help_add_row(text, "cache=always", "for what nobody changes here while the machine runs; the fastest");
}

static const struct output_column columns[] = {
	{"SOURCE", false}, {"TARGET", false}, {"MODE", false}, {"CACHE", false}, {"KEPT", false},
};

static int add_row(struct libscols_table *table, const json_t *share, struct annex_error **err)
{
	const char *const cells[] = {
		shares_text(share, "source"),
		shares_text(share, "target"),
		json_is_true(json_object_get(share, "readOnly")) ? "ro" : "rw",
		shares_text(share, "cache"),
		json_is_true(json_object_get(share, "kept")) ? "yes" : "no",
	};

	return output_table_row(table, cells, err);
}

static int show(struct annex_machine *machine, enum output_format format, struct annex_error **err)
{
	auto_table struct libscols_table *table = NULL;
	auto_json json_t *list = NULL;

	if (shares_list(&list, machine, err) < 0)
		return -1;
	if (format == OUTPUT_JSON)
		return output_json(TAKE(list), err);
	if (output_table_new(&table, columns, COUNT_OF(columns), err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *share = json_array_get(list, i);

		/* Every machine has them, and nobody can choose. */
		if (text_equal(shares_text(share, "name"), "modules"))
			continue;
		if (format == OUTPUT_QUIET)
			puts(shares_text(share, "target"));
		else if (add_row(table, share, err) < 0)
			return -1;
	}
	return format == OUTPUT_QUIET ? 0 : output_table_print(table, err);
}

/* The words as one: HOST:GUEST[:OPTIONS]. */
static int join(char **ret, const struct mount_options *wanted, struct annex_error **err)
{
	const char *host = wanted->host, *guest = wanted->guest;

	if (wanted->quiet || wanted->format)
		return fail(err, ANNEX_ERROR_USAGE, "%s goes without HOST and GUEST",
			    wanted->quiet ? "-q" : "--format");
	if (!guest && !strchr(host, ':')) {
		fail(err, ANNEX_ERROR_USAGE, "GUEST is missing, where the machine is to have '%s'", host);
		return host[0] == '/' ? fail_hint(err, "for the same path: annex mount %s %s", host, host) : -1;
	}
	/* Joined, it would be taken for a part of HOST. */
	if (guest && guest[0] != '/')
		return fail(err, ANNEX_ERROR_USAGE, "GUEST must be an absolute path, not '%s'", guest);
	if (asprintf(ret, "%s%s%s", host, guest ? ":" : "", guest ? guest : "") < 0) {
		*ret = NULL;
		return fail_memory(err);
	}
	return 0;
}

static bool is_running(struct annex_machine *machine)
{
	const struct annex_machine_info *info;

	return annex_machine_info(&info, machine, NULL) == 0 && info->state == ANNEX_MACHINE_RUNNING;
}

static int mount(struct annex_machine *machine, const char *volume, struct annex_error **err)
{
	const char *name = annex_machine_name(machine);

	if (annex_machine_mount(machine, volume, err) == 0)
		return 0;
	if (annex_error_kind(*err) == ANNEX_ERROR_BUSY && !is_running(machine))
		fail_hint(err, "annex start %s; or for every start: annex set -n %s volume=%s", name, name, volume);
	return -1;
}

static int run_mount(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct mount_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;
	auto_free char *volume = NULL;
	enum output_format format;

	if (output_format(&format, wanted->format, wanted->quiet, err) < 0)
		return fail_while(err, "mount");
	if (wanted->host && join(&volume, wanted, err) < 0) {
		fail_hint(err, "annex mount --help");
		return fail_while(err, "mount");
	}
	if (machines_open(&machine, cli, NULL, wanted->name, err) < 0)
		return -1;
	if ((volume ? mount(machine, volume, err) : show(machine, format, err)) < 0)
		return fail_while(err, "mount in %s", annex_machine_name(machine));
	return 0;
}

#undef AT
struct umount_options {
	const char *name;
	const char *guest;
	bool force;
};
#define AT(field) offsetof(struct umount_options, field)

static const struct option umount_options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_FLAG, 'f', "force", AT(force), NULL, "even while a program of the machine uses it", COMPLETES_NOTHING},
	{OPTION_WORD, 0, NULL, AT(guest), "GUEST", "where it is in the machine", COMPLETES_SHARE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

/* The command that takes away what is shared by a setting; NULL for what isn't, or when memory ran out. */
static char *forget_command(const struct annex_machine *machine, const json_t *share)
{
	const char *name = annex_machine_name(machine);
	char *command = NULL;
	int length;

	if (!json_is_true(json_object_get(share, "kept")))
		return NULL;
	if (text_equal(shares_text(share, "name"), "home"))
		length = asprintf(&command, "annex set -n %s home-mount=none", name);
	else
		length = asprintf(&command, "annex set -n %s volume=-%s", name, shares_text(share, "target"));
	return length < 0 ? NULL : command;
}

static int run_umount(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct umount_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;
	auto_json json_t *list = NULL;
	auto_free char *forget = NULL;
	const char *name;

	if (machines_open(&machine, cli, NULL, wanted->name, err) < 0)
		return -1;
	name = annex_machine_name(machine);
	/* Only for what is said about it. */
	if (shares_list(&list, machine, NULL) == 0)
		forget = forget_command(machine, shares_find(list, wanted->guest));
	if (annex_machine_umount(machine, wanted->guest, wanted->force, err) < 0) {
		if (annex_error_kind(*err) == ANNEX_ERROR_BUSY && is_running(machine))
			fail_hint(err, "annex umount -n %s --force %s", name, wanted->guest);
		else if (annex_error_kind(*err) == ANNEX_ERROR_BUSY && forget)
			fail_hint(err, "%s", forget);
		return fail_while(err, "umount %s in %s", wanted->guest, name);
	}
	progress_clear(cli->progress);
	if (forget)
		fprintf(stderr, "%s is shared again at the next start, unless '%s'\n", wanted->guest, forget);
	return 0;
}

const struct command mount_command = {
	.name = "mount",
	.section = "Machines",
	.summary = "share files with a running machine; show its shares",
	.description =
		"Shares a folder or a file of this host with a running machine, at once and until the machine stops. "
		"What every start is to share is a setting: 'annex set volume=HOST:GUEST[:OPTIONS]', which counts at "
		"once, too. Without HOST and GUEST it shows what the machine shares; KEPT says what is there at the "
		"next start. The kernel's modules, which every machine has, are in JSON only.",
	.example = "annex mount -n dev ~/data /data\nannex mount -n dev .:/srv/site:ro,cache=none\nannex mount",
	.options = options,
	.add_help = add_help,
	.size = sizeof(struct mount_options),
	.run = run_mount,
};

const struct command umount_command = {
	.name = "umount",
	.aliases = "unmount",
	.section = "Machines",
	.summary = "stop sharing something with a running machine",
	.description = "Takes a shared folder or file out of a running machine. What is there by a setting is back at "
		       "the machine's next start.",
	.example = "annex umount -n dev /data",
	.options = umount_options,
	.size = sizeof(struct umount_options),
	.run = run_umount,
};
