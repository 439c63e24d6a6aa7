#include "guest/env.h"

#include <ctype.h>
#include <string.h>

int env_set(struct text_list *env, const char *assignment)
{
	const char *equals = strchr(assignment, '=');
	char *copy;

	if (!equals || equals == assignment)
		return 0;
	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->items[i], assignment, (size_t)(equals - assignment) + 1) != 0)
			continue;
		copy = strdup(assignment);
		if (!copy)
			return -ENOMEM;
		free(env->items[i]);
		env->items[i] = copy;
		return 0;
	}
	return text_list_add(env, assignment);
}

int env_set_pair(struct text_list *env, const char *name, const char *value)
{
	auto_text struct text made = {0};

	text_add(&made, name);
	text_add_char(&made, '=');
	text_add(&made, value);
	return text_ok(&made) ? env_set(env, made.data) : -ENOMEM;
}

int env_set_all(struct text_list *env, const char *const *assignments)
{
	for (; assignments && *assignments; assignments++) {
		if (env_set(env, *assignments) < 0)
			return -ENOMEM;
	}
	return 0;
}

void env_remove(struct text_list *env, const char *prefix)
{
	size_t kept = 0;

	for (size_t i = 0; i < env->count; i++) {
		if (text_starts(env->items[i], prefix))
			free(env->items[i]);
		else
			env->items[kept++] = env->items[i];
	}
	env->count = kept;
	if (env->items)
		env->items[kept] = NULL;
}

static bool is_variable(const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)name[i]) && name[i] != '_')
			return false;
	}
	return length > 0 && !isdigit((unsigned char)name[0]);
}

/* A line without what is behind its end; blanks at its end don't count, nor do quotes around a value. */
static int set_line(struct text_list *env, const char *line, size_t length)
{
	auto_text struct text made = {0};
	const char *equals;
	size_t name;

	while (length > 0 && isspace((unsigned char)line[length - 1]))
		length--;
	equals = memchr(line, '=', length);
	name = equals ? (size_t)(equals - line) : 0;
	if (!equals || !is_variable(line, name))
		return 0;
	text_add_bytes(&made, line, name + 1);
	line = equals + 1;
	length -= name + 1;
	if (length > 1 && (*line == '"' || *line == '\'') && line[length - 1] == *line) {
		line++;
		length -= 2;
	}
	text_add_bytes(&made, line, length);
	return text_ok(&made) ? env_set(env, made.data) : -ENOMEM;
}

int env_set_text(struct text_list *env, const char *text)
{
	static const char export[] = "export ";

	for (size_t length; *text; text += length, text += *text == '\n') {
		text += strspn(text, " \t");
		text += text_starts(text, export) ? strlen(export) : 0;
		length = strcspn(text, "\n");
		if (*text != '#' && set_line(env, text, length) < 0)
			return -ENOMEM;
	}
	return 0;
}

const char *env_get(const struct text_list *env, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->items[i], name, length) == 0 && env->items[i][length] == '=')
			return env->items[i] + length + 1;
	}
	return NULL;
}

int env_candidates(struct text_list *ret, const char *path, const char *name)
{
	if (strchr(name, '/'))
		return text_list_add(ret, name);
	path = path && *path ? path : ENV_PATH;
	for (;;) {
		size_t length = strcspn(path, ":");

		if (text_list_printf(ret, "%.*s%s%s", (int)length, path, length > 0 ? "/" : "./", name) < 0)
			return -ENOMEM;
		if (!path[length])
			return 0;
		path += length + 1;
	}
}
