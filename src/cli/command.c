#include "cli/command.h"

#include "base/text.h"
#include "cli/closest.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct command *const commands[] = {
	&create_command,
	&run_command,
	&start_command,
	&stop_command,
	&restart_command,
	&list_command,
	&inspect_command,
	&set_command,
	&set_default_command,
	&ps_command,
	&kill_command,
	&logs_command,
	&stats_command,
	&mount_command,
	&umount_command,
	&port_command,
	&port_add_command,
	&port_remove_command,
	&delete_command,
	&network_create_command,
	&network_list_command,
	&network_inspect_command,
	&network_delete_command,
	&hosts_command,
	&image_pull_command,
	&image_import_command,
	&image_list_command,
	&image_inspect_command,
	&image_delete_command,
	&image_export_command,
	&image_prune_command,
	&image_login_command,
	&image_logout_command,
	&kernel_install_command,
	&kernel_list_command,
	&kernel_set_command,
	&kernel_delete_command,
	&df_command,
	&doctor_command,
	&version_command,
	&completion_command,
	&help_command,
	&complete_command,
	NULL,
};
/* clang-format on */

const struct command *command_at(size_t index)
{
	return commands[index];
}

size_t command_prefix(const char *const *words)
{
	return words[0] && (text_equal(words[0], "machine") || text_equal(words[0], "m"));
}

/* Does the comma-separated list hold it? */
static bool has_alias(const struct command *command, const char *name)
{
	size_t length = strlen(name), part;

	for (const char *at = command->aliases ? command->aliases : ""; *at; at += part + (at[part] == ',')) {
		part = strcspn(at, ",");
		if (part == length && memcmp(at, name, length) == 0)
			return true;
	}
	return false;
}

static const struct command *find_name(const char *name)
{
	for (size_t i = 0; commands[i]; i++) {
		if (text_equal(commands[i]->name, name) || has_alias(commands[i], name))
			return commands[i];
	}
	return NULL;
}

const struct command *command_find(size_t *ret_words, const char *const *words)
{
	size_t prefix = command_prefix(words);
	auto_free char *pair = NULL;
	const struct command *found;

	words += prefix;
	if (!words[0])
		return NULL;
	/* Of `port` and `port add` the longer one. */
	if (words[1]) {
		if (asprintf(&pair, "%s %s", words[0], words[1]) < 0) {
			pair = NULL;
			return NULL;
		}
		found = find_name(pair);
		if (found) {
			*ret_words = prefix + 2;
			return found;
		}
	}
	found = find_name(words[0]);
	if (found)
		*ret_words = prefix + 1;
	return found;
}

bool command_is_group(const char *word)
{
	size_t length = strlen(word);

	for (size_t i = 0; commands[i]; i++) {
		if (text_starts(commands[i]->name, word) && commands[i]->name[length] == ' ')
			return true;
	}
	return false;
}

/* The distance between a word and the nearest of a command's names that are one word. */
static unsigned word_distance(const struct command *command, const char *word)
{
	unsigned nearest = closest_distance(command->name, word);
	const char *aliases = command->aliases ? command->aliases : "";

	for (size_t part; *aliases; aliases += part + (aliases[part] == ',')) {
		auto_free char *alias = NULL;
		unsigned distance;

		part = strcspn(aliases, ",");
		alias = strndup(aliases, part);
		if (!alias || strchr(alias, ' '))
			continue;
		distance = closest_distance(alias, word);
		nearest = distance < nearest ? distance : nearest;
	}
	return nearest;
}

const char *command_closest(const char *const *words)
{
	const char *first = words[0], *second = words[1] ? words[1] : "", *best = NULL;
	unsigned nearest = CLOSEST_MAX + 1;

	for (size_t i = 0; commands[i]; i++) {
		const char *name = commands[i]->name, *space = strchr(name, ' ');
		unsigned distance;

		if (commands[i]->flags & COMMAND_HIDDEN)
			continue;
		if (command_is_group(first))
			distance = space && text_starts(name, first) ? closest_distance(space + 1, second)
								     : CLOSEST_MAX + 1;
		else
			distance = word_distance(commands[i], first);
		if (distance < nearest) {
			nearest = distance;
			best = name;
		}
	}
	return best && closest_is_near(command_is_group(first) ? second : first, nearest) ? best : NULL;
}

const char *command_closest_group(const char *word)
{
	const char *best = NULL;
	unsigned nearest = CLOSEST_MAX + 1;

	for (size_t i = 0; commands[i] && !command_is_group(word); i++) {
		const char *space = strchr(commands[i]->name, ' ');
		auto_free char *group = space ? strndup(commands[i]->name, (size_t)(space - commands[i]->name)) : NULL;
		unsigned distance = group ? closest_distance(group, word) : CLOSEST_MAX + 1;

		if (distance < nearest) {
			nearest = distance;
			best = commands[i]->name;
		}
	}
	return best && closest_is_near(word, nearest) ? best : NULL;
}
