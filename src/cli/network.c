/* annex network: create, list, inspect, delete. */
#include "base/text.h"
#include "base/time.h"
#include "cli/command.h"
#include "cli/output.h"

#include <stdio.h>

struct create_options {
	const char *name;
	const char *uplink;
	bool internal;
};
#define AT(field) offsetof(struct create_options, field)

static const struct option create_options[] = {
	{OPTION_CHOICE, 0, "uplink", AT(uplink), "auto|passt|slirp|none",
	 "how its machines get out; none: they reach each other only (default auto)", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "internal", AT(internal), NULL, "the same as --uplink none", COMPLETES_NOTHING},
	{OPTION_WORD, 0, NULL, AT(name), "NAME", "how to call it", COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};
#undef AT

static int run_create(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct create_options *wanted = parsed;
	struct annex_network_options options = ANNEX_NETWORK_OPTIONS_INIT;

	if (wanted->internal && wanted->uplink && !text_equal(wanted->uplink, "none"))
		return fail(err, ANNEX_ERROR_USAGE, "network create: --internal and --uplink %s contradict each other",
			    wanted->uplink);
	options.uplink = wanted->internal ? "none" : wanted->uplink;
	if (annex_network_create(cli->context, wanted->name, &options, err) < 0)
		return fail_while(err, "network create %s", wanted->name);
	puts(wanted->name);
	return 0;
}

struct list_options {
	const char *format;
	bool quiet;
};
#define AT(field) offsetof(struct list_options, field)

static const struct option list_options[] = {
	{OPTION_CHOICE, 0, "format", AT(format), "table|json", "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_FLAG, 'q', "quiet", AT(quiet), NULL, "only names", COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};
#undef AT

static const struct output_column columns[] = {
	{"NAME", false},
	{"UPLINK", false},
	{"CREATED", false},
	{"MACHINES", false},
};

static int add_row(struct libscols_table *table, const struct annex_network *network, struct annex_error **err)
{
	auto_text struct text machines = {0};
	char created[TIME_BUFFER];
	int64_t when = annex_network_created(network);
	const char *machine;

	for (size_t i = 0; (machine = annex_network_machine(network, i)); i++)
		text_printf(&machines, "%s%s", i ? " " : "", machine);
	if (!text_ok(&machines))
		return fail_memory(err);
	const char *const cells[] = {
		annex_network_name(network),
		annex_network_uplink(network),
		when ? time_format(created, when) : NULL,
		machines.data ? machines.data : "",
	};

	return output_table_row(table, cells, err);
}

static int add_object(json_t *array, const struct annex_network *network, struct annex_error **err)
{
	auto_free char *text = NULL;

	if (annex_network_describe(&text, network, err) < 0)
		return -1;
	return output_json_append(array, text, err);
}

static int run_list(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct list_options *wanted = parsed;
	auto_table struct libscols_table *table = NULL;
	auto_json json_t *array = json_array();
	struct annex_network **list = NULL;
	enum output_format format;
	size_t count = 0;
	int result = 0;

	if (output_format(&format, wanted->format, wanted->quiet, err) < 0 ||
	    output_table_new(&table, columns, COUNT_OF(columns), err) < 0 ||
	    annex_network_list(&list, &count, cli->context, err) < 0)
		return fail_while(err, "network list");
	for (size_t i = 0; i < count && result == 0; i++) {
		if (format == OUTPUT_QUIET)
			puts(annex_network_name(list[i]));
		else
			result = format == OUTPUT_JSON ? add_object(array, list[i], err) : add_row(table, list[i], err);
	}
	annex_network_list_free(list, count);
	if (result < 0 || format == OUTPUT_QUIET)
		return result;
	return format == OUTPUT_JSON ? output_json(TAKE(array), err) : output_table_print(table, err);
}

struct names_options {
	struct option_list names;
};
#define AT(field) offsetof(struct names_options, field)

static const struct option names_options[] = {
	{OPTION_WORDS_SOME, 0, NULL, AT(names), "NAME", "the networks", COMPLETES_NETWORK},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};
#undef AT

static int run_inspect(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct names_options *wanted = parsed;
	auto_json json_t *array = json_array();

	for (size_t i = 0; i < wanted->names.count; i++) {
		struct annex_network *network = NULL;
		int result = annex_network_open(&network, cli->context, wanted->names.words[i], err);

		if (result == 0)
			result = add_object(array, network, err);
		annex_network_unref(network);
		if (result < 0)
			return fail_while(err, "network inspect %s", wanted->names.words[i]);
	}
	return output_json(TAKE(array), err);
}

/* All get their turn; the first failure decides the exit status. */
static int run_delete(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct names_options *wanted = parsed;
	int first = 0;

	(void)err;
	for (size_t i = 0; i < wanted->names.count; i++) {
		auto_error struct annex_error *problem = NULL;

		if (annex_network_delete(cli->context, wanted->names.words[i], &problem) == 0)
			continue;
		fail_while(&problem, "network delete %s", wanted->names.words[i]);
		fail_print(cli->progress, problem);
		first = first ? first : fail_exit_status(problem);
	}
	return first;
}

const struct command network_create_command = {
	.name = "network create",
	.section = "Networks",
	.summary = "make a network of machines",
	.description = "Makes a network. Machines that are set to it reach each other as NAME.annex.internal, and no "
		       "machine of another network. Those that are set to no network by name are in 'default', with "
		       "network=none in none.",
	.example = "annex network create lab\nannex create --name db --network lab debian:12\n"
		   "annex network create --internal vault",
	.options = create_options,
	.size = sizeof(struct create_options),
	.run = run_create,
};

const struct command network_list_command = {
	.name = "network list",
	.aliases = "network ls",
	.section = "Networks",
	.summary = "show the networks and which machines are in them",
	.description = "Shows the networks and which machines are in them, whether they run or not. UPLINK is how the "
		       "machines of a network get out; in the network 'default' each is set on its own.",
	.example = "annex network list",
	.options = list_options,
	.size = sizeof(struct list_options),
	.run = run_list,
};

const struct command network_inspect_command = {
	.name = "network inspect",
	.section = "Networks",
	.summary = "show all about networks, as JSON",
	.description = "Prints a JSON array with what is known of networks: with the addresses that their machines "
		       "have on this host (ip) and among themselves (address, address6).",
	.example = "annex network inspect default",
	.options = names_options,
	.size = sizeof(struct names_options),
	.run = run_inspect,
};

const struct command network_delete_command = {
	.name = "network delete",
	.aliases = "network rm",
	.section = "Networks",
	.summary = "delete networks",
	.description = "Deletes networks that no machine is in.",
	.example = "annex network delete lab",
	.options = names_options,
	.size = sizeof(struct names_options),
	.run = run_delete,
};
