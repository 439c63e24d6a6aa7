/* annex create: a machine from an image, booted. */
#include "base/text.h"
#include "cli/images.h"
#include "cli/hosts.h"
#include "cli/interrupt.h"
#include "cli/machines.h"
#include "cli/platform.h"

#include <stdio.h>
#include <string.h>

struct create_options {
	const char *image;
	const char *name;
	struct option_number cpus;
	struct option_number memory;
	struct option_number disk;
	struct option_list environment;
	const char *home_mount;
	const char *home_target;
	struct option_list volumes;
	struct option_list publish;
	struct option_list masks;
	const char *init;
	const char *kernel;
	const char *accelerator;
	const char *network;
	const char *host_access;
	struct option_list allow;
	const char *ca;
	const char *restart;
	const char *ssh_agent;
	const char *platform;
	const char *architecture;
	const char *pull;
	const char *scheme;
	const char *progress;
	bool isolate;
	bool service;
	bool virtualization;
	bool autostart;
	bool set_default;
	bool no_boot;
};
#define AT(field) offsetof(struct create_options, field)

static const struct option options[] = {
	{OPTION_TEXT, 'n', "name", AT(name), "NAME", "name of the machine (default: from the image)",
	 COMPLETES_NOTHING},
	{OPTION_NUMBER, 0, "cpus", AT(cpus), "N", "virtual processors (default: the host's)", COMPLETES_NOTHING},
	{OPTION_SIZE, 0, "memory", AT(memory), "SIZE",
	 "memory, like 4G (default: a quarter of the host's, from 1 to 8 GiB)", COMPLETES_NOTHING},
	{OPTION_SIZE, 0, "disk", AT(disk), "SIZE", "disk, like 64G; takes room only as it fills", COMPLETES_NOTHING},
	{OPTION_LIST, 'e', "env", AT(environment), "KEY=VALUE", "environment variable of all sessions (repeatable)",
	 COMPLETES_NOTHING},
	{OPTION_LIST, 'v', "volume", AT(volumes), "HOST:GUEST[:OPTIONS]",
	 "share a folder or file of this host, with options such as ro; see 'annex help mount' (repeatable)",
	 COMPLETES_VOLUME},
	{OPTION_LIST, 'p', "publish", AT(publish), "[IP:]HOST:GUEST[/udp]",
	 "a port of this host, at 127.0.0.1 unless IP says otherwise, that leads to one of the machine; see 'annex "
	 "help port' (repeatable)",
	 COMPLETES_NOTHING},
	{OPTION_CHOICE, 0, "home-mount", AT(home_mount), "rw|ro|none", "how the machine has your home (default rw)",
	 COMPLETES_NOTHING},
	{OPTION_TEXT, 0, "home-target", AT(home_target), "PATH",
	 "where it has it (default: at its own path, as the home of its user)", COMPLETES_NOTHING},
	{OPTION_LIST, 0, "mask", AT(masks), "PATH",
	 "path in your home that the machine must not see, besides the usual places of secrets; -PATH: let it see "
	 "one of these (repeatable)",
	 COMPLETES_FILE},
	{OPTION_CHOICE, 0, "init", AT(init), "auto|image|builtin", "whose init system runs (default auto)",
	 COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "service", AT(service), NULL,
	 "let the built-in init run the image's entrypoint and command as a service", COMPLETES_NOTHING},
	{OPTION_TEXT, 0, "kernel", AT(kernel), "NAME|PATH", "guest kernel (default: see 'annex kernel list')",
	 COMPLETES_KERNEL},
	{OPTION_FLAG, 0, "virtualization", AT(virtualization), NULL, "let the machine run virtual machines itself",
	 COMPLETES_NOTHING},
	{OPTION_CHOICE, 0, "accel", AT(accelerator), "auto|kvm|tcg", "what runs the processors (default auto)",
	 COMPLETES_NOTHING},
	{OPTION_TEXT, 0, "network", AT(network), "auto|passt|slirp|none|NAME",
	 "how the machine reaches the network, or the network that it is in, by 'annex network create' (default auto)",
	 COMPLETES_UPLINK},
	{OPTION_CHOICE, 0, "host-access", AT(host_access), "on|off",
	 "whether the machine reaches what listens on this host, as host.annex.internal (default on)",
	 COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "isolate", AT(isolate), NULL,
	 "let it have nothing of this host but the volumes, and reach nothing but what --allow says",
	 COMPLETES_NOTHING},
	{OPTION_LIST, 0, "allow", AT(allow), "HOST[:PORT]",
	 "with --isolate: a name, *.NAME, an address, or a range of them (192.0.2.0/24), that it reaches (repeatable)",
	 COMPLETES_NOTHING},
	{OPTION_CHOICE, 0, "ca", AT(ca), "on|off",
	 "whether it trusts the CA certificates that were added to this host (default on)", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "autostart", AT(autostart), NULL, "let systemd start it with this host, or as you log in",
	 COMPLETES_NOTHING},
	{OPTION_CHOICE, 0, "restart", AT(restart), "no|on-failure|always",
	 "whether it is started again when it ends (default no)", COMPLETES_NOTHING},
	{OPTION_CHOICE, 0, "ssh-agent", AT(ssh_agent), "on|off",
	 "whether sessions can use the SSH agent of who runs them (default on)", COMPLETES_NOTHING},
	PLATFORM_ROWS(struct create_options),
	{OPTION_CHOICE, 0, "pull", AT(pull), "missing|always|never",
	 "when to ask the image's registry (default missing: when it is not here)", COMPLETES_NOTHING},
	SCHEME_ROW(struct create_options),
	{OPTION_FLAG, 0, "set-default", AT(set_default), NULL, "make it the default machine", COMPLETES_NOTHING},
	{OPTION_FLAG, 0, "no-boot", AT(no_boot), NULL, "leave it stopped", COMPLETES_NOTHING},
	PROGRESS_ROW(struct create_options),
	{OPTION_WORD, 0, NULL, AT(image), "IMAGE",
	 "like debian:12 or ghcr.io/org/name:tag (see 'annex image pull --help'), oci:DIR[:TAG], "
	 "oci-archive:FILE[:TAG], "
	 "docker-archive:FILE[:TAG], or - for an archive on standard input",
	 COMPLETES_IMAGE_OR_SOURCE},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

static int add_setting(struct text_list *settings, const struct option *row, const void *field,
		       struct annex_error **err)
{
	const struct option_number *number = field;
	const struct option_list *list = field;
	int result = 0;

	switch (row->type) {
	case OPTION_FLAG:
		result = *(const bool *)field ? text_list_printf(settings, "%s=true", row->name) : 0;
		break;
	case OPTION_NUMBER:
	case OPTION_SIZE:
		if (number->set)
			result = text_list_printf(settings, "%s=%llu", row->name, (unsigned long long)number->value);
		break;
	case OPTION_LIST:
		for (size_t i = 0; i < list->count && result == 0; i++)
			result = text_list_printf(settings, "%s=%s", row->name, list->words[i]);
		break;
	default:
		if (*(const char *const *)field)
			result = text_list_printf(settings, "%s=%s", row->name, *(const char *const *)field);
		break;
	}
	return result < 0 ? fail_memory(err) : 0;
}

static bool is_setting(const char *name)
{
	const char *key;

	for (size_t i = 0; (key = annex_setting_key(i)); i++) {
		if (text_equal(key, name))
			return true;
	}
	return false;
}

static int check_environment(const struct option_list *environment, struct annex_error **err)
{
	for (size_t i = 0; i < environment->count; i++) {
		const char *word = environment->words[i];

		if (strchr(word, '=') && *word != '=')
			continue;
		fail(err, ANNEX_ERROR_USAGE, "-e: '%s' is not KEY=VALUE", word);
		return fail_hint(err, "annex create --help");
	}
	return 0;
}

/* The options that are settings: they have the same names. */
static int collect(struct text_list *settings, const struct create_options *wanted, struct annex_error **err)
{
	if (check_environment(&wanted->environment, err) < 0)
		return -1;
	for (const struct option *row = options; row->type != OPTION_END; row++) {
		const void *field = (const char *)wanted + row->at;

		if (row->name && is_setting(row->name) && add_setting(settings, row, field, err) < 0)
			return -1;
	}
	return 0;
}

/* The one who interrupts the first boot wants no machine: it goes, with its disk. */
static void remove_interrupted(struct cli *cli, struct annex_machine *machine, struct annex_error **err)
{
	auto_error struct annex_error *problem = NULL;

	interrupt_begin_cleanup(cli->context);
	if (annex_machine_delete(machine, 0, &problem) == 0) {
		hosts_follow(cli);
		return;
	}
	fail_while(&problem, "create: cannot remove %s again", annex_machine_name(machine));
	fail_print(cli->progress, problem);
	fail_hint(err, "annex delete --force %s", annex_machine_name(machine));
}

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct create_options *wanted = parsed;
	struct annex_machine_options made = ANNEX_MACHINE_OPTIONS_INIT;
	auto_machine struct annex_machine *machine = NULL;
	auto_text_list struct text_list settings = {0};
	auto_free char *platform = NULL;

	progress_set_mode(cli->progress, wanted->progress);
	if (platform_choose(&platform, wanted->platform, wanted->architecture, err) < 0 ||
	    collect(&settings, wanted, err) < 0)
		return fail_while(err, "create");
	made.name = wanted->name;
	made.settings = (const char *const *)settings.items;
	made.platform = platform;
	made.pull = wanted->pull;
	made.scheme = wanted->scheme;
	made.input_fd = STDIN_FILENO;
	made.make_default = wanted->set_default;
	if (annex_machine_create(&machine, cli->context, wanted->image, &made, err) < 0)
		return -1;
	hosts_follow(cli);
	if (!wanted->no_boot && machines_start(cli, machine, err) < 0) {
		/* A port that is taken: another is a setting away. */
		if (annex_error_kind(*err) == ANNEX_ERROR_EXISTS && !interrupt_signal())
			fail_while(err, "machine '%s' was made and stays", annex_machine_name(machine));
		fail_while(err, "create %s", wanted->image);
		if (!interrupt_signal())
			return fail_hint(err, "annex logs %s", annex_machine_name(machine));
		remove_interrupted(cli, machine, err);
		return -1;
	}
	if (machines_tell_autostart(cli, machine, err) < 0)
		return -1;
	progress_clear(cli->progress);
	puts(annex_machine_name(machine));
	return 0;
}

const struct command create_command = {
	.name = "create",
	.section = "Machines",
	.summary = "make a machine from an image and boot it",
	.description = "Makes a machine from an image, boots it, and prints its name. An image that is not here yet is "
		       "taken from "
		       "its registry. A machine keeps what is done in it "
		       "until it is deleted. If its first boot fails, the machine stays, so that its logs can be read.",
	.example = "annex create -n dev --memory 4G debian:12\nannex create -v /srv/data:/data:ro --home-mount none "
		   "alpine\ndocker save alpine | annex create -",
	.options = options,
	.size = sizeof(struct create_options),
	.run = run,
};
