/*
 * annex hosts: names of machines on this host itself.
 *
 * Nothing is done with the rights of others: who may not write /etc/hosts hands the lines to an annex that may, as in
 * `annex hosts | sudo annex hosts --install -`. That one takes nothing but such lines, and writes them into the block
 * of the user who ran sudo.
 */
#include "cli/hosts.h"

#include "base/file.h"
#include "base/text.h"
#include "cli/output.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

enum { INPUT_MAX = 8 << 20 };

#define BY_SUDO "annex hosts | sudo annex hosts --install -"

struct hosts_options {
	const char *format;
	const char *user;
	const char *input;
	bool install;
	bool remove;
};
#define AT(field) offsetof(struct hosts_options, field)

static const struct option options[] = {
	{OPTION_CHOICE, 0, "format", AT(format), "table|json", "how to print (default table: lines of /etc/hosts)",
	 COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "install", AT(install), NULL, "keep them in /etc/hosts, in a block of their own",
	 COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "remove", AT(remove), NULL, "take that block out", COMPLETES_NOTHING},
	{OPTION_TEXT, 0, "user", AT(user), "NAME", "whose block it is (default: who ran sudo, or yours)",
	 COMPLETES_NOTHING},
	{OPTION_WORD_OPTIONAL, 0, NULL, AT(input), "-", "with --install: the lines on standard input",
	 COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};
#undef AT

/* Who has handed over root's rights, if somebody has; *ret is the caller's, or NULL: nobody. */
static int find_caller(char **ret, struct annex_error **err)
{
	const char *uid_text = getenv("SUDO_UID"), *name = getenv("DOAS_USER");
	const struct passwd *found;
	uint32_t uid = 0;

	if (geteuid() != 0)
		return 0;
	if (uid_text) {
		found = text_to_u32(&uid, uid_text, 10) == 0 && uid != 0 ? getpwuid(uid) : NULL;
		name = found ? found->pw_name : uid != 0 ? uid_text : NULL;
	}
	return text_copy(ret, name) < 0 ? fail_memory(err) : 0;
}

static int print(struct cli *cli, const struct hosts_options *wanted, struct annex_error **err)
{
	auto_free char *text = NULL;
	enum output_format format;

	if (output_format(&format, wanted->format, false, err) < 0)
		return -1;
	if (format != OUTPUT_JSON)
		return annex_hosts_text(&text, cli->context, err) < 0 ? -1 : (fputs(text, stdout), output_finish(err));
	return annex_hosts_describe(&text, cli->context, err) < 0 ? -1 : output_json(json_loads(text, 0, NULL), err);
}

/* Standard input, which is a pipe as a rule. */
static int read_lines(char **ret, struct annex_error **err)
{
	auto_free char *bytes = malloc(INPUT_MAX + 1);
	ssize_t size;

	if (!bytes)
		return fail_memory(err);
	size = file_read_full(STDIN_FILENO, bytes, INPUT_MAX + 1);
	if (size < 0)
		return fail_os(err, (int)size, "cannot read standard input");
	if (size > INPUT_MAX || memchr(bytes, '\0', (size_t)size))
		return fail(err, ANNEX_ERROR_USAGE, "standard input has other lines than those of 'annex hosts'");
	bytes[size] = '\0';
	*ret = TAKE(bytes);
	return 0;
}

static int install(struct cli *cli, const struct hosts_options *wanted, const char *caller, struct annex_error **err)
{
	auto_free char *lines = NULL;

	if (wanted->input)
		return read_lines(&lines, err) < 0
			       ? -1
			       : annex_hosts_install(cli->context, wanted->user ? wanted->user : caller, lines, err);
	if (annex_hosts_text(&lines, cli->context, err) < 0)
		return -1;
	if (caller && !*lines) {
		fail(err, ANNEX_ERROR_USAGE, "root has no machines: those of %s are not told by sudo", caller);
		return fail_hint(err, "as %s: " BY_SUDO, caller);
	}
	return annex_hosts_install(cli->context, wanted->user, NULL, err);
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct hosts_options *wanted = parsed;
	auto_free char *caller = NULL;
	int result = find_caller(&caller, err);

	if (result < 0)
		return -1;
	if (wanted->install && wanted->remove)
		return fail(err, ANNEX_ERROR_USAGE, "hosts: --install and --remove contradict each other");
	if (wanted->format && (wanted->install || wanted->remove))
		return fail(err, ANNEX_ERROR_USAGE, "hosts: --format goes with printing only");
	if (wanted->user && !wanted->install && !wanted->remove)
		return fail(err, ANNEX_ERROR_USAGE, "hosts: --user goes with --install and --remove only");
	if (wanted->user && wanted->install && !wanted->input) {
		fail(err, ANNEX_ERROR_USAGE, "hosts: --user goes with lines of that user, on standard input");
		return fail_hint(err, "as %s: " BY_SUDO, wanted->user);
	}
	if (wanted->user && wanted->install && !getpwnam(wanted->user))
		return fail(err, ANNEX_ERROR_USAGE, "hosts: there is no user '%s'", wanted->user);
	if (wanted->input && (!wanted->install || !text_equal(wanted->input, "-"))) {
		fail(err, ANNEX_ERROR_USAGE, "hosts: '%s' is not expected", wanted->input);
		return fail_hint(err, BY_SUDO);
	}
	if (wanted->install)
		result = install(cli, wanted, caller, err);
	else if (wanted->remove)
		result = annex_hosts_remove(wanted->user ? wanted->user : caller, err);
	else
		result = print(cli, wanted, err);
	return result < 0 ? fail_while(err, "hosts") : 0;
}

void hosts_follow(struct cli *cli)
{
	auto_error struct annex_error *problem = NULL;
	int stale = 0;

	if (annex_hosts_follow(&stale, cli->context, &problem) < 0) {
		fail_while(&problem, "hosts");
		fail_print(cli->progress, problem);
		return;
	}
	if (!stale)
		return;
	progress_clear(cli->progress);
	fputs("/etc/hosts names other machines than there are now, until '" BY_SUDO "'\n", stderr);
}

const struct command hosts_command = {
	.name = "hosts",
	.section = "Networks",
	.summary = "names of machines for this host's /etc/hosts",
	.description =
		"Prints lines for /etc/hosts that name the machines by their addresses on this host; with --install, "
		"keeps them there in a block that is marked with the user's name. 'annex create' and 'annex delete' "
		"bring the block up to date where they may write the file, which takes root as a rule, and say so "
		"where they may not. A machine with the name of something else that /etc/hosts knows is named "
		"NAME.annex.internal only.",
	.example = "annex hosts\n" BY_SUDO "\nsudo annex hosts --remove",
	.options = options,
	.size = sizeof(struct hosts_options),
	.run = run,
};
