/*
 * annex port, annex port add and annex port remove: how a machine is reached from this host.
 *
 * What is added here lasts until the machine stops; what every start publishes is a setting, and `annex set` changes a
 * running machine too.
 */
#include "base/text.h"
#include "cli/help.h"
#include "cli/machines.h"
#include "cli/ports.h"

#include <annex/port.h>
#include <stdio.h>
#include <string.h>

struct list_options {
	const char *word;
	const char *name;
	const char *format;
	bool all;
	bool quiet;
};
#define AT(field) offsetof(struct list_options, field)

static const struct option list_rows[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine, instead of a word", COMPLETES_MACHINE},
	{OPTION_FLAG, 'a', "all", AT(all), NULL, "of all machines that run", COMPLETES_NOTHING},
	{OPTION_FLAG, 'q', "quiet", AT(quiet), NULL, "only where they are on this host", COMPLETES_NOTHING},
	{OPTION_CHOICE, 0, "format", AT(format), "table|json", "how to print (default table)", COMPLETES_NOTHING},
	{OPTION_WORD_OPTIONAL, 0, NULL, AT(word), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

/* The first one only of several machines. */
static const struct output_column columns[] = {
	{"NAME", false},    {"PROTOCOL", false}, {"PORT", true},  {"HOST", false},
	{"PROCESS", false}, {"STATE", false},    {"NOTE", false},
};

static char *make_note(const json_t *port)
{
	auto_text struct text note = {0};
	const char *reason = ports_text(port, "reason");

	if (json_is_true(json_object_get(port, "published")))
		text_add(&note, json_is_true(json_object_get(port, "kept")) ? "published" : "published until it stops");
	if (json_is_true(json_object_get(port, "moved")))
		text_add(&note, "moved: its own number is for root only");
	if (*reason)
		text_printf(&note, "%s%s", note.size ? ": " : "", reason);
	return text_take(&note);
}

static int add_row(struct libscols_table *table, const json_t *port, bool named, struct annex_error **err)
{
	auto_free char *note = make_note(port), *number = NULL;
	const char *process = ports_text(port, "process");
	char place[PORTS_PLACE];
	const char *const cells[] = {
		ports_text(port, "machine"), ports_text(port, "protocol"), "",   place,
		*process ? process : NULL,   ports_text(port, "state"),    note,
	};
	const char *all[COUNT_OF(cells)];

	if (asprintf(&number, "%lld", (long long)json_integer_value(json_object_get(port, "port"))) < 0)
		number = NULL;
	if (!note || !number)
		return fail_memory(err);
	if (!ports_place(place, port))
		return fail(err, ANNEX_ERROR_CORRUPT, "an address of '%s' is too long", cells[0]);
	memcpy(all, cells, sizeof(all));
	all[2] = number;
	return output_table_row(table, all + !named, err);
}

static int print_table(const json_t *list, bool named, struct annex_error **err)
{
	auto_table struct libscols_table *table = NULL;

	if (output_table_new(&table, columns + !named, COUNT_OF(columns) - !named, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (add_row(table, json_array_get(list, i), named, err) < 0)
			return -1;
	}
	return output_table_print(table, err);
}

static void print_places(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *port = json_array_get(list, i);
		char place[PORTS_PLACE];

		if (json_integer_value(json_object_get(port, "host-port")) > 0 && ports_place(place, port))
			puts(place);
	}
}

/* What would let them have their own numbers. */
static void tell_moved(struct cli *cli, const json_t *list)
{
	long long lowest = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *port = json_array_get(list, i);
		long long number = json_integer_value(json_object_get(port, "port"));

		if (json_is_true(json_object_get(port, "moved")) && (lowest == 0 || number < lowest))
			lowest = number;
	}
	if (lowest == 0)
		return;
	progress_clear(cli->progress);
	fprintf(stderr,
		"low ports are for root only on this host: the machine's are at higher ones\n"
		"hint: sudo sysctl -w net.ipv4.ip_unprivileged_port_start=%lld\n",
		lowest);
}

static int add_ports(json_t *list, struct annex_machine *machine, struct annex_error **err)
{
	const char *name = annex_machine_name(machine);
	auto_json json_t *some = NULL;

	if (ports_list(&some, machine, err) < 0)
		return fail_while(err, "port %s", name);
	for (size_t i = 0; i < json_array_size(some); i++) {
		json_t *port = json_array_get(some, i);

		if (json_object_set_new(port, "machine", json_string(name)) < 0 || json_array_append(list, port) < 0)
			return fail_memory(err);
	}
	return 0;
}

static int add_all(json_t *list, struct cli *cli, struct annex_error **err)
{
	struct annex_machine **machines = NULL;
	size_t count = 0;
	int result = 0;

	if (annex_machine_list(&machines, &count, cli->context, err) < 0)
		return -1;
	for (size_t i = 0; i < count && result == 0; i++) {
		const struct annex_machine_info *info;

		if (annex_machine_info(&info, machines[i], NULL) == 0 && info->state == ANNEX_MACHINE_RUNNING)
			result = add_ports(list, machines[i], err);
	}
	annex_machine_list_free(machines, count);
	return result;
}

static int run_list(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct list_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;
	auto_json json_t *list = json_array();
	enum output_format format;
	int result = 0;

	if (!list)
		return fail_memory(err);
	if (output_format(&format, wanted->format, wanted->quiet, err) < 0)
		return fail_while(err, "port");
	if (wanted->all && (wanted->word || wanted->name))
		return fail(err, ANNEX_ERROR_USAGE, "port: --all and a name contradict each other");
	if (!wanted->all && machines_open(&machine, cli, wanted->word, wanted->name, err) < 0)
		return -1;
	if ((wanted->all ? add_all(list, cli, err) : add_ports(list, machine, err)) < 0)
		return -1;
	tell_moved(cli, list);
	if (format == OUTPUT_QUIET)
		print_places(list);
	else
		result = format == OUTPUT_JSON ? output_json(TAKE(list), err) : print_table(list, wanted->all, err);
	return result;
}

#undef AT
struct change_options {
	const char *name;
	struct option_list ports;
};
#define AT(field) offsetof(struct change_options, field)

static const struct option add_rows[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_WORDS_SOME, 0, NULL, AT(ports), "[IP:]HOST:GUEST[/udp]", "a port, see below", COMPLETES_NOTHING},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static const struct option remove_rows[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "the machine", COMPLETES_MACHINE},
	{OPTION_WORDS_SOME, 0, NULL, AT(ports), "[IP:]HOST[:GUEST][/tcp|/udp]",
	 "a port; what is left out stands for any", COMPLETES_PORT},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static void add_help(struct text *text)
{
	text_add(text, "\nPorts:\n");
	help_add_row(text, "8080:80", "port 8080 of 127.0.0.1 leads to port 80 of the machine");
	help_add_row(text, "8080", "the same number on both sides");
	help_add_row(text, "5353:53/udp", "UDP");
	help_add_row(text, "8000-8010:9000-9010", "as many of both");
	help_add_row(text, ":80", "a free port of this host, which is printed");
	help_add_row(text, "0.0.0.0:8080:80", "for other hosts too; [::]:8080:80 for those that use IPv6");
}

/* Was a free port asked for? IPv6 addresses have zeros and colons of their own. */
static bool is_chosen(const json_t *port)
{
	const char *text = ports_text(port, "publish"), *bracket = strchr(text, ']');

	if (bracket)
		text = bracket + 1;
	return text_starts(text, "0:") || strstr(text, ":0:");
}

static int tell_chosen(const char *ports, struct annex_error **err)
{
	auto_json json_t *list = NULL;

	if (ports_parse(&list, ports, err) < 0)
		return -1;
	for (size_t i = 0; i < json_array_size(list); i++) {
		char place[PORTS_PLACE];

		if (is_chosen(json_array_get(list, i)) && ports_place(place, json_array_get(list, i)))
			puts(place);
	}
	return 0;
}

static bool is_running(struct annex_machine *machine)
{
	const struct annex_machine_info *info;

	return annex_machine_info(&info, machine, NULL) == 0 && info->state == ANNEX_MACHINE_RUNNING;
}

/* Elsewhere the machine is the first word, but here all words are ports. */
static int open_of_ports(struct annex_machine **ret, struct cli *cli, const struct change_options *wanted,
			 struct annex_error **err)
{
	auto_machine struct annex_machine *machine = NULL;
	const char *first = wanted->ports.words[0];

	if (!wanted->name && wanted->ports.count > 1 && !strpbrk(first, "0123456789:") &&
	    annex_machine_open(&machine, cli->context, first, NULL) == 0) {
		fail(err, ANNEX_ERROR_USAGE, "%s: '%s' is a machine, and words are ports", cli->command->name, first);
		return fail_hint(err, "annex %s -n %s %s", cli->command->name, first, wanted->ports.words[1]);
	}
	return machines_open(ret, cli, NULL, wanted->name, err);
}

static int run_add(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct change_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;

	if (open_of_ports(&machine, cli, wanted, err) < 0)
		return -1;
	for (size_t i = 0; i < wanted->ports.count; i++) {
		const char *name = annex_machine_name(machine), *port = wanted->ports.words[i];
		auto_free char *ports = NULL;

		if (annex_machine_publish(&ports, machine, port, err) < 0) {
			if (annex_error_kind(*err) == ANNEX_ERROR_BUSY && !is_running(machine))
				fail_hint(err, "annex start %s; or for every start: annex set -n %s publish=%s", name,
					  name, port);
			else if (annex_error_kind(*err) == ANNEX_ERROR_EXISTS)
				fail_hint(err, "annex port %s", name);
			return fail_while(err, "port add %s in %s", port, name);
		}
		progress_clear(cli->progress);
		if (tell_chosen(ports, err) < 0)
			return -1;
	}
	return 0;
}

/* What is published by the setting, before and no longer. */
static void tell_kept(const struct annex_machine *machine, const json_t *before, const json_t *after)
{
	const char *last = "";

	for (size_t i = 0; i < json_array_size(before); i++) {
		const json_t *port = json_array_get(before, i);
		const char *text = ports_text(port, "publish");
		bool is_there = false;

		if (!json_is_true(json_object_get(port, "kept")) || text_equal(text, last))
			continue;
		last = text;
		for (size_t k = 0; k < json_array_size(after); k++)
			is_there = is_there || text_equal(ports_text(json_array_get(after, k), "publish"), text);
		if (!is_there)
			fprintf(stderr,
				"%s is published again at the next start, unless 'annex set -n %s publish=-%s'\n", text,
				annex_machine_name(machine), text);
	}
}

static int run_remove(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct change_options *wanted = parsed;
	auto_machine struct annex_machine *machine = NULL;
	auto_json json_t *before = NULL, *after = NULL;

	if (open_of_ports(&machine, cli, wanted, err) < 0)
		return -1;
	/* Only for what is said about it. */
	(void)!ports_list(&before, machine, NULL);
	for (size_t i = 0; i < wanted->ports.count; i++) {
		const char *name = annex_machine_name(machine), *port = wanted->ports.words[i];

		if (annex_machine_unpublish(machine, port, err) == 0)
			continue;
		if (annex_error_kind(*err) == ANNEX_ERROR_BUSY && !is_running(machine))
			fail_hint(err, "if it is published at every start: annex set -n %s publish=-%s", name, port);
		else if (annex_error_kind(*err) == ANNEX_ERROR_NOT_FOUND)
			fail_hint(err, "annex port %s", name);
		return fail_while(err, "port remove %s in %s", port, name);
	}
	if (ports_list(&after, machine, NULL) < 0)
		return 0;
	progress_clear(cli->progress);
	tell_kept(machine, before, after);
	return 0;
}

const struct command port_command = {
	.name = "port",
	.aliases = "port list,port ls",
	.section = "Machines",
	.summary = "show how a machine is reached from this host",
	.description =
		"Shows the ports of a machine. What listens in it is at the same port of the machine's own address, "
		"127.88.x.y, as long as it listens. Others are published: by the setting, 'annex set "
		"publish=HOST:GUEST', at every start, or by 'annex port add' until the machine stops. A port is "
		"'open', 'waiting' for something to listen in the machine, or 'refused', for the reason in NOTE.",
	.example = "annex port\nannex port web --format json\ncurl $(annex port -q web | head -n 1)",
	.options = list_rows,
	.size = sizeof(struct list_options),
	.run = run_list,
};

const struct command port_add_command = {
	.name = "port add",
	.section = "Machines",
	.summary = "publish ports of a running machine on this host",
	.description =
		"Lets ports of this host lead to ports of a running machine, at once and until it stops. They listen "
		"at 127.0.0.1, unless an address is given. What every start is to publish is a setting: 'annex set "
		"publish=HOST:GUEST', which counts at once, too.",
	.example = "annex port add -n web 8080:80\nannex port add 0.0.0.0:8443:443 5353:53/udp",
	.options = add_rows,
	.add_help = add_help,
	.size = sizeof(struct change_options),
	.run = run_add,
};

const struct command port_remove_command = {
	.name = "port remove",
	.aliases = "port rm,port delete",
	.section = "Machines",
	.summary = "publish ports of a running machine no longer",
	.description =
		"Closes ports of this host that lead to a running machine; connections that are made go on. What "
		"is published by a setting is back at the machine's next start.",
	.example = "annex port remove -n web 8080\nannex port rm 127.0.0.1:8080:80/tcp",
	.options = remove_rows,
	.size = sizeof(struct change_options),
	.run = run_remove,
};
